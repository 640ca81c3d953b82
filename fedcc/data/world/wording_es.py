"""Spanish wording, a smaller grammar than the English one; see `wording_en` for the notation."""

FRAMES = {
    "~": "[<want>^3|<can>^2] ",
    "!": "<you> ",
}

SHARED = {
    "want": "[quiero|quisiera|necesito|me gustaría|querría|tengo que|intento] [|]",
    "can": "[puedo|cómo puedo|cómo hago para|se puede|hay forma de|dónde puedo|es posible]",
    "you": "[pueden|podrían|podéis|necesito a alguien para|por favor, pueden]",
    "bill": "[la factura|mi factura|la última factura|la factura de <month>|el recibo de <month>]",
    "internet": "[el internet|la conexión|la fibra|el wifi]",
    "plan": "[tarifa|plan|contrato]",
    "phone": "[móvil|teléfono|celular|<device>]",
    "a_while": "[desde el <day>|desde ayer|desde hace <count> días|desde esta mañana]",
    "place": "[en casa|en mi piso|en la oficina|en <room>]",
    "opening": """
        [hola|buenas|buenos días|buenas tardes|buenas noches] [|a todos|qué tal]
        hola , tengo una [pregunta|consulta|duda]
    """,
    "closing": """
        [gracias|muchas gracias|gracias de antemano|un saludo|gracias por su ayuda]
        [es urgente|lo necesito hoy|no hay prisa|espero su respuesta|avísenme]
    """,
    "identify": """
        [soy|me llamo|mi nombre es|le habla] <pii_name>
        [mi|el] número de [cliente|cuenta] es <pii_account>
        [mi|el] [número|teléfono] es <pii_phone>
        [me pueden llamar al|llámenme al] <pii_phone>
        [mi correo es|escríbanme a|mi e-mail es] <pii_email>
        [nací el|mi fecha de nacimiento es] <pii_date_of_birth>
        [vivo en|la dirección es|la línea está en] <pii_address>
        [mi tarjeta es|la tarjeta es la|pago con la tarjeta] <pii_card>
    """,
    "story": """
        [llevo|llevamos] <count> años con ustedes
        [ya llamé|ya escribí] [el <day>|la semana pasada] [por otra cosa|y nadie respondió]
        [pago|pagamos] <amount> al mes
        <bill> [es|era] de <amount>
        [compré|tengo] un <device> [nuevo|desde <month>]
        [me voy|viajo] a <country> [en <month>|el <day>]
        <internet> se corta [todo el tiempo|cada tarde|<a_while>]
        [esto no es|no llamo] por <topic> [esta vez|]
        [el menú|el bot] solo ofrece <topic>
    """,
}

TOPIC_WORDS = {
    "bill_dispute": "un cobro mal hecho",
    "refund": "la devolución",
    "tariff_advice": "las tarifas",
    "cancel_service": "la baja",
    "sim_replacement": "la tarjeta sim",
    "roaming": "el roaming",
    "no_signal": "la cobertura",
    "slow_internet": "el internet lento",
    "technician_visit": "la cita del técnico",
    "password_reset": "la contraseña",
    "complaint": "la queja",
}

MATTERS = {
    "bill_explanation": """
        ~entender [<bill>|por qué <bill> es tan alta|los cargos de <bill>]
        !explicarme [<bill>|el cargo de <amount>|qué estoy pagando]
        por qué <bill> [subió|es tan alta|es de <amount>|ha cambiado]
        no entiendo [<bill>|de dónde salen los <amount>]
    """,
    "bill_dispute": """
        ~[reclamar|disputar] [un cargo de <amount>|<bill>|algo que no pedí]
        !quitar [el cargo de <amount>|lo que no pedí] de <bill>
        me [cobraron|han cobrado] [dos veces|<amount> de más|algo que no pedí] [en <month>|]
        hay un [cargo|cobro] de <amount> que [no reconozco|no es mío|no acepté]
    """,
    "make_payment": """
        ~pagar [<bill>|<amount>|lo que debo] [ahora|con tarjeta|por transferencia|]
        !cobrarme [<bill>|<amount>] [ahora|por teléfono]
        [cuánto debo|dónde pago] [<bill>|] [y puedo pagar hoy|]
        mi pago de <amount> [no pasó|falló] [, lo repito ahora|]
    """,
    "payment_extension": """
        ~[pagar más tarde|tener más plazo|pagar a plazos|aplazar <bill>] [hasta el <day>|]
        !darme [más tiempo|unos días más|plazo hasta el <day>] para pagar
        no puedo pagar <bill> [hasta el <day>|este mes|hasta que cobre]
        [hoy pago|puedo pagar] la mitad y el resto en <month>
    """,
    "payment_method": """
        ~cambiar [la cuenta|la tarjeta|la forma de pago] [de mis facturas|]
        ~[domiciliar|dejar de domiciliar] <bill>
        mi [tarjeta|cuenta] [caducó|ha cambiado] y [quiero|hay que] poner la nueva
        [qué|cuáles] formas de pago [tienen|aceptan]
    """,
    "refund": """
        ~[recuperar|recibir] [mi dinero|los <amount>|la devolución]
        !devolverme [<amount>|mi dinero|lo que pagué dos veces]
        [dónde está|cuándo llega|no me ha llegado] [mi reembolso|mi devolución|mi dinero]
        devolví el [router|<device>] y espero [mi dinero|los <amount>] desde <month>
    """,
    "tariff_advice": """
        ~[cambiar a|encontrar] una tarifa [más barata|mejor|con más datos]
        !recomendarme [una tarifa|un plan] [con <gigas>|por menos de <amount>|]
        [qué|cuáles] [tarifas|planes] [tienen|hay] [con <gigas>|más baratos|]
        pago <amount> y [busco|quiero] algo más barato
    """,
    "upgrade_device": """
        ~[renovar mi <phone>|comprar un <device>|cambiar mi <phone> por uno nuevo]
        cuándo puedo [renovar|tener un <device> nuevo]
        cuánto cuesta el <device> con mi <plan>
        mi <phone> está viejo y quiero [un <device>|uno nuevo]
    """,
    "contract_end": """
        ~saber cuándo [termina|acaba|vence] mi [contrato|permanencia]
        !decirme [cuándo acaba mi contrato|cuánta permanencia me queda]
        [cuánto|cuántos meses] me [queda|quedan] de [contrato|permanencia]
        [hasta cuándo|hasta qué mes] estoy atado
    """,
    "cancel_service": """
        ~[dar de baja|cancelar|anular] [mi línea|mi contrato|<internet>|todo]
        ![cancelar|dar de baja] mi [contrato|línea] [en <month>|ya|]
        [me voy de la compañía|ya no necesito la línea] , [cancélenla|denme de baja]
        cuánto cuesta [darme de baja|cancelar] antes de tiempo
    """,
    "add_line": """
        ~[añadir|contratar|agregar] otra línea [para mi <relative>|a mi cuenta|]
        cuánto cuesta [una segunda línea|otra línea para mi <relative>]
        mi <relative> necesita un número [en mi cuenta|propio]
        cuántas líneas puedo tener en mi <plan>
    """,
    "move_house": """
        ~[llevar|trasladar] <internet> a [mi casa nueva|otra dirección]
        me mudo [en <month>|el <day>] y [quiero|necesito] <internet> allí
        hay fibra en [mi nueva dirección|el piso nuevo]
        [qué hago con|qué pasa con] mi contrato si me mudo
    """,
    "port_in": """
        ~[traer|conservar] mi número de <rival> [con ustedes|]
        !pasar mi número de <rival> [a ustedes|a la nueva sim]
        cuándo llega mi número [antiguo|de <rival>]
        la portabilidad desde <rival> [no termina|fue rechazada|tarda mucho]
    """,
    "port_out": """
        ~[llevarme|pasar] mi número a <rival>
        !darme el código para [irme a|la portabilidad a] <rival>
        me cambio a <rival> y quiero conservar mi número
        por qué [bloquean|rechazan] la portabilidad a <rival>
    """,
    "sim_replacement": """
        ~[cambiar|activar|pedir] [una|mi] [tarjeta sim|sim|esim] nueva
        ![activar|enviarme] [la|una] [sim|esim] nueva
        mi [sim|tarjeta] [no funciona|está rota|da error]
        [necesito|perdí] el puk de mi tarjeta
    """,
    "lost_or_stolen": """
        ~bloquear mi <phone> , [me lo robaron|lo perdí]
        !bloquear [mi línea|mi sim] [ya|] porque [perdí el <phone>|me robaron]
        me [robaron|han robado] el <phone> [el <day>|en <country>|]
        perdí mi <phone> [en el autobús|en <country>|ayer]
    """,
    "roaming": """
        ~[usar el móvil|tener datos|activar el roaming] en <country>
        cuánto cuesta [el roaming|usar datos] en <country>
        estoy en <country> y no [tengo datos|funciona mi <phone>]
        [está <country> incluido|entra <country>] en mi <plan>
    """,
    "international_calls": """
        ~llamar [a mi <relative> en <country>|a <country> desde aquí]
        cuánto cuesta [una llamada|el minuto] a <country>
        no puedo llamar a números de <country>
        [tienen|hay] minutos para llamar a <country>
    """,
    "data_top_up": """
        ~[comprar|añadir] [más datos|<gigas> más]
        ~recargar [mi móvil|saldo|<amount>]
        [me quedé|me he quedado] sin [datos|saldo] [este mes|]
        cuántos datos me quedan
    """,
    "voicemail": """
        ~[activar|desactivar|escuchar|configurar] [el buzón|el buzón de voz]
        no puedo [oír|escuchar] [mis mensajes|el buzón]
        [cuál es|he olvidado] [el pin|el número] del buzón
        mi buzón [está lleno|no contesta]
    """,
    "no_signal": """
        no tengo [cobertura|señal] [<place>|<a_while>]
        ~tener [señal|mejor cobertura] <place>
        mi <phone> dice [sin servicio|solo emergencias] [<a_while>|]
        se cortan las llamadas [<place>|<a_while>]
    """,
    "slow_internet": """
        <internet> va [muy |]lento [<place>|<a_while>|]
        pago <speed> y solo [llegan|tengo] <speed>
        por qué va tan lento <internet>
        los vídeos se paran [<place>|<a_while>]
    """,
    "outage": """
        [hay una avería|hay un corte] [en mi zona|en mi calle|]
        no hay [internet|servicio] en [toda la calle|mi zona|casa] [<a_while>|]
        cuándo [vuelve|se arregla] [el servicio|<internet>]
        ~avisar de [una avería|un corte] [en mi calle|<place>]
    """,
    "router_setup": """
        ~[instalar|configurar] [el router|el router nuevo|el wifi]
        ~cambiar la contraseña del wifi
        llegó el router y no sé [conectarlo|instalarlo]
        mi <device> no se conecta al wifi [en <room>|]
    """,
    "technician_visit": """
        ~[pedir|cambiar|anular] [una|la] cita con el técnico [el <day>|]
        [cuándo|a qué hora] viene el técnico
        el técnico no [vino|apareció] [el <day>|hoy]
        !enviar un técnico [a casa|el <day>]
    """,
    "parental_control": """
        ~[poner|activar|quitar] [el control parental|el filtro de menores]
        ~bloquear páginas [de adultos|] en el móvil de mi [hijo|hija]
        cómo limito el uso de internet de mis hijos
        [tienen|hay] un filtro para niños
    """,
    "password_reset": """
        ~[cambiar|recuperar] mi [contraseña|clave]
        no puedo entrar en [mi cuenta|la aplicación]
        [olvidé|he olvidado] la contraseña [de mi cuenta|]
        mi cuenta está bloqueada [tras <count> intentos|]
    """,
    "fraud_report": """
        ~denunciar [una estafa|un fraude|un mensaje falso]
        alguien [contrató una línea|compró un <device>] a mi nombre
        me llegó un [mensaje|correo] que parece [una estafa|falso]
        me llamaron [diciendo ser|haciéndose pasar por] ustedes y pidieron mi clave
    """,
    "privacy_request": """
        ~[ver|borrar|recibir] [mis datos personales|los datos que tienen sobre mí]
        ~retirar mi consentimiento [para la publicidad|para las grabaciones]
        !borrar [mis datos|mis grabaciones]
        qué datos guardan sobre mí
    """,
    "complaint": """
        ~[poner|presentar] una [queja|reclamación formal] [por <grievance>|]
        estoy muy [descontento|enfadada|molesto] con <grievance>
        <grievance> es [una vergüenza|inaceptable]
        ~saber qué pasó con mi queja [de <month>|]
    """,
    "grievance": """
        [el servicio|la atención|el trato]
        [la espera|el técnico que no vino|los cortes]
    """,
    "speak_to_agent": """
        ~hablar con [una persona|un agente|alguien|un supervisor]
        !pasarme con [un agente|una persona]
        !llamarme [el <day>|hoy|más tarde]
        [agente|operador|una persona] , por favor
    """,
}
