"""Word lists of the generated world by language: names, places, months, devices and the like.

Street and family names are everyday words of their language; no combination stands for a person.
The operators are invented.
"""

from collections.abc import Mapping


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.replace("_", " ") for word in text.split())


Lists = Mapping[str, tuple[str, ...]]

FIRST_NAMES: Lists = {
    "en": _words(
        "James Mary Oliver Amelia Jack Emily Harry Grace George Chloe Noah Ella Leo Sophie Mason "
        "Ava Liam Olivia Ethan Hannah Aisha Omar Priya Arjun Mei Wei Fatima Yusuf Siobhan Declan "
        "Niamh Rhys Carys Isla Callum Fiona Tyler Brianna Marcus Denise"
    ),
    "es": _words(
        "Lucía Hugo Martín Sofía Mateo Valeria Pablo Carmen Diego Elena Javier Marta Álvaro Paula "
        "Sergio Laura Adrián Irene Raúl Nuria Andrés Beatriz Rubén Alicia Iván Rocío Óscar Pilar"
    ),
    "pt": _words(
        "João Maria Tiago Beatriz Pedro Inês Rui Marta Miguel Ana Gonçalo Catarina Paulo Sara Luís "
        "Joana Bruno Carla Duarte Rita Vitor Camila Rafael Larissa Thiago Bruna Caio Júlia"
    ),
    "de": _words(
        "Lukas Anna Felix Lena Jonas Marie Paul Laura Max Julia Leon Clara Tim Nina Moritz Katrin "
        "Jürgen Ursula Heinz Monika Emre Elif Sven Antje Björn Heike Torsten Silke"
    ),
}
LAST_NAMES: Lists = {
    "en": _words(
        "Ashdown Barlow Carver Denholm Eastwood Fairley Gresham Hartley Ingram Jarvis Kirkby Lomax "
        "Marsden Norwood Oakley Pemberton Quinlan Rowntree Selby Thornton Underhill Vickers "
        "Whitlock Yardley Brennan Calloway Delgado Emerson Fitzroy Garrity Holloway Khan Patel "
        "Okafor Nguyen Chen Murphy Reilly Jenkins Morgan"
    ),
    "es": _words(
        "García Olmedo Castaño Rivas Prado Montes Salas Vega Campos Robles Naranjo Lozano Aguado "
        "Serrano Bravo Cordero Luján Pastor Quintana Rosales Tejada Valle Zamora Herrero Molina"
    ),
    "pt": _words(
        "Silva Almeida Barros Carvalho Duarte Esteves Figueira Guimarães Henriques Leitão Macedo "
        "Nogueira Oliveira Pinheiro Queirós Ramalho Salgado Teixeira Valente Xavier Moreira Prado"
    ),
    "de": _words(
        "Ackermann Baumgart Claußen Dittrich Eberle Fuchs Gruber Hartwig Imhof Jansen Köhler "
        "Mertens Neumann Otte Petersen Quandt Riedel Schreiner Thiel Vogt Weber Yilmaz Zander"
    ),
}
STREETS: Lists = {
    "GB": _words(
        "Alder_Row Bramble_Lane Copper_Street Dove_Close Elm_Rise Fern_Walk Gable_Road Heron_Way "
        "Ivy_Court Juniper_Drive Kestrel_Mews Lantern_Street Mill_Bank North_Green Orchard_Road"
    ),
    "IE": _words(
        "Abbey_Row Boreen_Lane Castle_Park Dock_Street Elder_Terrace Fair_Green Grove_Road "
        "Harbour_View Island_Quay Laurel_Park Mill_Road New_Bridge_Street Oak_Lawn"
    ),
    "US": _words(
        "Aspen_Avenue Birch_Boulevard Cedar_Court Dogwood_Drive Eagle_Road Falcon_Street "
        "Granite_Way Hickory_Lane Indigo_Place Juniper_Street Laurel_Avenue Maple_Loop Oak_Trail"
    ),
    "ES": _words(
        "Calle_del_Olivo Calle_Mayor_Nueva Avenida_del_Roble Plaza_del_Pino Calle_de_la_Fuente "
        "Paseo_del_Almendro Calle_Luna Calle_del_Molino Avenida_de_la_Huerta Calle_Romero"
    ),
    "PT": _words(
        "Rua_do_Carvalho Rua_da_Fonte Avenida_do_Pinhal Largo_do_Moinho Rua_das_Flores_Novas "
        "Travessa_do_Rio Rua_do_Sobreiro Praça_da_Vinha Rua_da_Ponte Rua_Nova_do_Lago"
    ),
    "BR": _words(
        "Rua_das_Mangueiras Avenida_do_Coqueiral Rua_do_Cajueiro Travessa_da_Lagoa Rua_da_Jangada "
        "Rua_do_Farol_Novo Avenida_das_Acácias Rua_do_Ipê Praça_do_Jambo"
    ),
    "DE": _words(
        "Ahornweg Birkenstraße Am_Brunnen Drosselgasse Eichenallee Fliederweg Gartenstraße "
        "Heckenweg Im_Winkel Kastanienplatz Lindenstraße Mühlweg Rosengasse Tannenweg"
    ),
}
CITIES: Mapping[str, str] = {
    "leeds": "Leeds",
    "glasgow": "Glasgow",
    "cardiff": "Cardiff",
    "cork": "Cork",
    "sacramento": "Sacramento",
    "austin": "Austin",
    "albany": "Albany",
    "madrid": "Madrid",
    "malaga": "Málaga",
    "porto": "Porto",
    "recife": "Recife",
    "leipzig": "Leipzig",
    "cologne": "Köln",
}
MONTHS: Lists = {
    "en": _words(
        "January February March April May June July August September October November December"
    ),
    "es": _words(
        "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre"
    ),
    "pt": _words(
        "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro"
    ),
    "de": _words(
        "Januar Februar März April Mai Juni Juli August September Oktober November Dezember"
    ),
}
DAYS: Lists = {
    "en": _words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday"),
    "es": _words("lunes martes miércoles jueves viernes sábado domingo"),
    "pt": _words("segunda-feira terça-feira quarta-feira quinta-feira sexta-feira sábado domingo"),
    "de": _words("Montag Dienstag Mittwoch Donnerstag Freitag Samstag Sonntag"),
}
COUNTRIES: Lists = {
    "en": _words(
        "Spain France Italy Greece Turkey Mexico Canada Japan India Brazil Morocco Portugal Poland "
        "Thailand Egypt Switzerland Norway Australia Kenya Peru"
    ),
    "es": _words(
        "Francia Italia Marruecos Argentina México Perú Colombia Alemania Suiza Japón Cuba Turquía"
    ),
    "pt": _words(
        "Espanha França Itália Angola Moçambique Suíça Argentina Japão Alemanha Marrocos Chile"
    ),
    "de": _words(
        "Spanien Italien Österreich Polen Kroatien Ägypten Norwegen Japan Kanada Thailand Portugal"
    ),
}
DEVICES = _words(
    "Nova_8 Nova_9_Pro Pixelon_5 Galant_X Orbit_12 Orbit_Mini Tabula_10 Lumo_3 Vento_S Aria_Fold"
)
RIVALS = _words("Telvia Norlink BlueCell Quanta_Mobile Airway Fonera_Plus Skyloop Mobix Lunacom")
RELATIVES: Lists = {
    "en": _words("son daughter wife husband mother father sister brother grandmother partner"),
    "es": _words("hijo hermano padre marido abuelo sobrino"),
    "pt": _words("filho irmão pai marido avô sobrinho"),
    "de": _words("meine_Tochter meine_Schwester meine_Mutter meine_Frau meine_Oma meine_Nichte"),
}
ROOMS: Lists = {
    "en": _words("the_kitchen the_bedroom the_basement the_attic the_garden my_study the_garage"),
    "es": _words("la_cocina el_dormitorio el_sótano el_salón el_garaje"),
    "pt": _words("toda_a_casa cima baixo qualquer_quarto parte_da_casa"),
    "de": _words("der_Küche meinem_Zimmer der_Garage der_oberen_Etage"),
}
ORDINALS = _words("second third fourth fifth tenth")
