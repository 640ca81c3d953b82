"""Portuguese wording, a smaller grammar than the English one; see `wording_en` for the notation."""

FRAMES = {
    "~": "[<want>^3|<can>^2] ",
    "!": "<you> ",
}

SHARED = {
    "want": "[quero|queria|preciso de|gostaria de|gostava de|tenho de|estou a tentar]",
    "can": "[posso|como posso|como faço para|dá para|há forma de|onde posso|é possível]",
    "you": "[podem|poderiam|conseguem|preciso de alguém para|por favor, podem]",
    "bill": "[a fatura|a minha fatura|a última fatura|a fatura de <month>|a conta de <month>]",
    "internet": "[a internet|a ligação|a fibra|o wifi]",
    "plan": "[tarifário|plano|contrato]",
    "phone": "[telemóvel|celular|telefone|<device>]",
    "a_while": "[desde <day>|desde ontem|há <count> dias|desde hoje de manhã]",
    "place": "[em casa|no meu apartamento|no escritório|em <room>]",
    "opening": """
        [olá|oi|bom dia|boa tarde|boa noite] [|a todos|tudo bem]
        olá , tenho uma [pergunta|dúvida|questão]
    """,
    "closing": """
        [obrigado|obrigada|muito obrigado|cumprimentos|obrigado pela ajuda|valeu]
        [é urgente|preciso disto hoje|sem pressa|fico à espera|aguardo resposta]
    """,
    "identify": """
        [sou|chamo-me|o meu nome é|aqui fala] <pii_name>
        o [meu |]número de [cliente|conta] é <pii_account>
        o meu [número|telefone] é <pii_phone>
        [podem ligar para o|liguem-me para o] <pii_phone>
        [o meu e-mail é|escrevam para|o meu correio é] <pii_email>
        [nasci a|a minha data de nascimento é] <pii_date_of_birth>
        [moro na|a morada é|o endereço é] <pii_address>
        [o meu cartão é|o cartão é o|pago com o cartão] <pii_card>
    """,
    "story": """
        [sou cliente|estou convosco] há <count> anos
        já [liguei|escrevi] [na semana passada|<a_while>] [por outra coisa|e ninguém respondeu]
        [pago|pagamos] <amount> por mês
        <bill> [é|foi] de <amount>
        [comprei|tenho] um <device> [novo|desde <month>]
        [vou|viajo] para <country> [em <month>|na próxima semana]
        <internet> [cai|falha] [a toda a hora|todas as noites|<a_while>]
        [isto não é|não ligo] por causa de <topic> [desta vez|]
        o [menu|robô] só fala de <topic>
    """,
}

TOPIC_WORDS = {
    "bill_dispute": "uma cobrança errada",
    "refund": "reembolso",
    "tariff_advice": "tarifários",
    "cancel_service": "cancelamento",
    "sim_replacement": "cartão sim",
    "roaming": "roaming",
    "no_signal": "falta de rede",
    "slow_internet": "internet lenta",
    "technician_visit": "visita do técnico",
    "password_reset": "palavra-passe",
    "complaint": "uma reclamação",
}

MATTERS = {
    "bill_explanation": """
        ~[perceber|entender] [<bill>|porque <bill> é tão alta|os valores de <bill>]
        !explicar [<bill>|o valor de <amount>|o que estou a pagar]
        porque é que <bill> [subiu|é tão alta|é de <amount>|mudou]
        não [percebo|entendo] [<bill>|de onde vêm os <amount>]
    """,
    "bill_dispute": """
        ~[contestar|reclamar] [uma cobrança de <amount>|<bill>|algo que não pedi]
        !retirar [a cobrança de <amount>|o que não pedi] da fatura
        cobraram-me [duas vezes|<amount> a mais|algo que não pedi] [em <month>|]
        há uma cobrança de <amount> que [não reconheço|não é minha|não aceitei]
    """,
    "make_payment": """
        ~pagar [<bill>|<amount>|o que devo] [agora|com cartão|por transferência|]
        !receber o pagamento [de <amount>|] [agora|por telefone]
        [quanto devo|onde pago] [<bill>|] [e posso pagar hoje|]
        o meu pagamento de <amount> [não passou|falhou] [, repito agora|]
    """,
    "payment_extension": """
        ~[pagar mais tarde|ter mais prazo|pagar em prestações|adiar <bill>] [até <day>|]
        !dar-me [mais tempo|mais uns dias|prazo até <day>] para pagar
        não consigo pagar <bill> [até <day>|este mês|antes do salário]
        [hoje pago|posso pagar] metade e o resto em <month>
    """,
    "payment_method": """
        ~[mudar|trocar] [a conta|o cartão|a forma de pagamento] [das faturas|]
        ~[ativar|cancelar] o débito [direto|automático]
        o meu [cartão|banco] [expirou|mudou] e [quero|tenho de] pôr o novo
        [que|quais] formas de pagamento [têm|aceitam]
    """,
    "refund": """
        ~[recuperar|receber] [o meu dinheiro|os <amount>|o reembolso]
        !devolver-me [<amount>|o dinheiro|o que paguei duas vezes]
        [onde está|quando chega|ainda não recebi] o meu [reembolso|dinheiro]
        devolvi o [router|<device>] e espero [o dinheiro|os <amount>] desde <month>
    """,
    "tariff_advice": """
        ~[mudar para|encontrar] um tarifário [mais barato|melhor|com mais dados]
        !recomendar [um tarifário|um plano] [com <gigas>|por menos de <amount>|]
        [que|quais] [tarifários|planos] [têm|há] [com <gigas>|mais baratos|]
        pago <amount> e [procuro|quero] algo mais barato
    """,
    "upgrade_device": """
        ~[renovar o meu <phone>|comprar um <device>|trocar o <phone> por um novo]
        quando posso [renovar|ter um <device> novo]
        quanto custa o <device> com o meu <plan>
        o meu <phone> está velho e quero [um <device>|um novo]
    """,
    "contract_end": """
        ~saber quando [termina|acaba] [o meu contrato|a fidelização]
        !dizer [quando acaba o meu contrato|quanto falta da fidelização]
        [quanto|quantos meses] falta de [contrato|fidelização]
        até quando estou [preso|fidelizado]
    """,
    "cancel_service": """
        ~[cancelar|encerrar|rescindir] [a minha linha|o meu contrato|<internet>|tudo]
        !cancelar [o contrato|a linha] [em <month>|já|]
        [vou sair da operadora|já não preciso da linha] , [cancelem|quero terminar]
        quanto custa [cancelar|sair] antes do fim
    """,
    "add_line": """
        ~[adicionar|pedir|juntar] outra linha [para o meu <relative>|na minha conta|]
        quanto custa [uma segunda linha|mais uma linha]
        o meu <relative> precisa de um número [na minha conta|próprio]
        quantas linhas posso ter no meu <plan>
    """,
    "move_house": """
        ~[levar|transferir] <internet> para [a casa nova|outra morada|outro endereço]
        vou mudar de casa [em <month>|<day>] e [quero|preciso de] internet lá
        há fibra [na minha nova morada|no apartamento novo]
        o que acontece ao contrato se eu mudar de casa
    """,
    "port_in": """
        ~[trazer|manter] o meu número da <rival> [para aqui|]
        !passar o meu número da <rival> [para vocês|para o novo sim]
        quando chega o meu número [antigo|da <rival>]
        a portabilidade da <rival> [não termina|foi recusada|demora muito]
    """,
    "port_out": """
        ~[levar|passar] o meu número para a <rival>
        !dar-me o código [para sair|de portabilidade] para a <rival>
        vou mudar para a <rival> e quero manter o número
        porque [bloqueiam|recusam] a portabilidade para a <rival>
    """,
    "sim_replacement": """
        ~[trocar|ativar|pedir] [um|o meu] [cartão sim|sim|chip] novo
        ![ativar|enviar] [o|um] [sim|esim|chip] novo
        o meu [sim|cartão|chip] [não funciona|está partido|dá erro]
        [preciso do|perdi o] puk do cartão
    """,
    "lost_or_stolen": """
        ~bloquear o meu <phone> , [roubaram-mo|perdi-o]
        !bloquear [a linha|o sim] [já|] porque [perdi o <phone>|fui roubado]
        roubaram o meu <phone> [em <country>|ontem|]
        perdi o <phone> [no autocarro|no ônibus|em <country>]
    """,
    "roaming": """
        ~[usar o telemóvel|ter dados|ativar o roaming] em <country>
        quanto custa [o roaming|usar dados] em <country>
        estou em <country> e não [tenho dados|funciona o <phone>]
        <country> está incluído no meu <plan>
    """,
    "international_calls": """
        ~ligar [ao meu <relative> em <country>|para <country> daqui]
        quanto custa [uma chamada|o minuto] para <country>
        não consigo ligar para números de <country>
        [têm|há] minutos para ligar para <country>
    """,
    "data_top_up": """
        ~[comprar|adicionar] [mais dados|mais <gigas>]
        ~[carregar|recarregar] [o telemóvel|saldo|<amount>]
        fiquei sem [dados|saldo] [este mês|]
        quantos dados me restam
    """,
    "voicemail": """
        ~[ativar|desativar|ouvir|configurar] [o voicemail|a caixa de mensagens]
        não consigo ouvir [as mensagens|o voicemail]
        [qual é|esqueci] o [pin|número] da caixa de mensagens
        a caixa de mensagens [está cheia|não atende]
    """,
    "no_signal": """
        não tenho [rede|sinal] [<place>|<a_while>]
        ~ter [sinal|melhor rede] <place>
        o meu <phone> diz [sem serviço|só emergência] [<a_while>|]
        as chamadas caem [<place>|<a_while>]
    """,
    "slow_internet": """
        <internet> está [muito |]lenta [<place>|<a_while>|]
        pago <speed> e só [chegam|tenho] <speed>
        porque é que <internet> está tão lenta
        os vídeos param [<place>|<a_while>]
    """,
    "outage": """
        há uma [avaria|falha geral] [na minha zona|na minha rua|]
        não há [internet|serviço] em [toda a rua|toda a zona|casa] [<a_while>|]
        quando [volta|fica resolvido] [o serviço|<internet>]
        ~comunicar uma [avaria|falha] [na minha rua|<place>]
    """,
    "router_setup": """
        ~[instalar|configurar] [o router|o roteador novo|o wifi]
        ~mudar a palavra-passe do wifi
        chegou o router e não sei [ligar|instalar]
        o meu <device> não liga ao wifi [em <room>|]
    """,
    "technician_visit": """
        ~[marcar|mudar|cancelar] [uma|a] visita do técnico [para <day>|]
        [quando|a que horas] vem o técnico
        o técnico não [veio|apareceu] [hoje|ontem]
        !enviar um técnico [a casa|<day>]
    """,
    "parental_control": """
        ~[pôr|ativar|tirar] [o controlo parental|o filtro para crianças]
        ~bloquear páginas [de adultos|] no telemóvel do meu filho
        como limito a internet dos meus filhos
        [têm|há] um filtro para crianças
    """,
    "password_reset": """
        ~[mudar|recuperar] a [palavra-passe|senha]
        não consigo entrar [na minha conta|na aplicação]
        esqueci a [senha|palavra-passe] [da conta|]
        a minha conta está bloqueada [após <count> tentativas|]
    """,
    "fraud_report": """
        ~denunciar [uma burla|uma fraude|um golpe|uma mensagem falsa]
        alguém [contratou uma linha|comprou um <device>] em meu nome
        recebi [uma mensagem|um e-mail] que parece [golpe|falso]
        ligaram-me a fingir que eram vocês e pediram a minha senha
    """,
    "privacy_request": """
        ~[ver|apagar|receber] [os meus dados pessoais|os dados que têm sobre mim]
        ~retirar o meu consentimento [para publicidade|para gravações]
        !apagar [os meus dados|as minhas gravações]
        que dados guardam sobre mim
    """,
    "complaint": """
        ~[fazer|apresentar] uma [queixa|reclamação formal] [sobre <grievance>|]
        estou muito [insatisfeito|zangada|desiludido] com <grievance>
        <grievance> é [uma vergonha|inaceitável]
        ~saber o que aconteceu à minha reclamação [de <month>|]
    """,
    "grievance": """
        [o serviço|o atendimento|a empresa]
        [a espera|o técnico que não veio|as falhas]
    """,
    "speak_to_agent": """
        ~falar com [uma pessoa|um agente|alguém|um supervisor]
        !passar-me a [um agente|uma pessoa]
        !ligar-me [<day>|hoje|mais tarde]
        [agente|atendente|uma pessoa] , por favor
    """,
}
