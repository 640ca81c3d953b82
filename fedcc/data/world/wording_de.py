"""German wording, a smaller grammar than the English one; see `wording_en` for the notation."""

FRAMES = {
    "~": "[<want>^3|<can>^2] ",
    "!": "<you> ",
}

SHARED = {
    "want": "[ich möchte|ich will|ich würde gern|ich muss|ich wollte|wir möchten]",
    "can": "[kann ich|wie kann ich|wo kann ich|könnte ich|darf ich|muss ich]",
    "you": "[können Sie|könnten Sie|würden Sie|kann jemand|bitte]",
    "bill": "[die Rechnung|meine Rechnung|die letzte Rechnung|die Rechnung vom <month>]",
    "internet": "[das Internet|das WLAN|die Leitung|die Verbindung]",
    "plan": "[Tarif|Vertrag]",
    "phone": "[Handy|Telefon|<device>]",
    "a_while": "[seit <day>|seit gestern|seit <count> Tagen|seit heute früh]",
    "place": "[zu Hause|in der Wohnung|im Büro|in <room>]",
    "opening": """
        [hallo|guten Tag|guten Morgen|guten Abend|moin|servus] [|zusammen]
        hallo , [ich habe eine Frage|kurze Frage]
    """,
    "closing": """
        [danke|vielen Dank|danke im Voraus|viele Grüße|danke für Ihre Hilfe]
        [es ist dringend|ich brauche das heute|es eilt nicht|ich warte auf Antwort|melden Sie sich]
    """,
    "identify": """
        [ich bin|ich heiße|mein Name ist|hier ist] <pii_name>
        meine [Kundennummer|Kontonummer bei Ihnen] ist <pii_account>
        meine [Nummer|Rufnummer|Handynummer] ist <pii_phone>
        [Sie erreichen mich unter|rufen Sie mich an unter] <pii_phone>
        [meine E-Mail ist|schreiben Sie an|meine Mail lautet] <pii_email>
        [ich bin geboren am|mein Geburtsdatum ist] <pii_date_of_birth>
        [ich wohne in|die Adresse ist|der Anschluss ist in] <pii_address>
        [meine Karte ist|die Kartennummer ist|ich zahle mit der Karte] <pii_card>
    """,
    "story": """
        ich bin seit <count> Jahren [Kunde|Kundin] bei Ihnen
        ich habe [am <day>|letzte Woche] schon [angerufen|geschrieben]
        [ich zahle|wir zahlen] <amount> im Monat
        <bill> [ist|war] über <amount>
        [ich habe|ich nutze] ein [neues <device>|<device> seit <month>]
        ich [fliege|fahre] [im <month>|am <day>|nächste Woche] nach <country>
        <internet> bricht [ständig|jeden Abend|<a_while>] ab
        es geht [diesmal |]nicht um <topic>
        [das Menü|der Bot] kennt nur <topic>
    """,
}

TOPIC_WORDS = {
    "bill_dispute": "eine falsche Buchung",
    "refund": "die Erstattung",
    "tariff_advice": "neue Tarife",
    "cancel_service": "die Kündigung",
    "sim_replacement": "die SIM-Karte",
    "roaming": "Roaming",
    "no_signal": "den Empfang",
    "slow_internet": "langsames Internet",
    "technician_visit": "den Technikertermin",
    "password_reset": "das Passwort",
    "complaint": "eine Beschwerde",
}

MATTERS = {
    "bill_explanation": """
        ~[<bill>|den Betrag von <amount>|die Posten der Rechnung] verstehen
        !mir [<bill>|den Betrag von <amount>] erklären
        warum ist <bill> [so hoch|höher als sonst|anders|über <amount>]
        ich verstehe [<bill>|die <amount> auf der Rechnung] nicht
    """,
    "bill_dispute": """
        ~[einer Buchung von <amount>|der Rechnung|dieser Forderung] widersprechen
        !die <amount> [von der Rechnung nehmen|streichen]
        mir wurde [zweimal|<amount> zu viel|etwas Falsches] [im <month> |]berechnet
        da ist eine Buchung von <amount> , die ich [nicht kenne|nie bestellt habe]
    """,
    "make_payment": """
        ~[<bill>|<amount>|den offenen Betrag] [jetzt |mit Karte |]bezahlen
        !meine Zahlung [von <amount> |][jetzt|am Telefon] annehmen
        [wie viel schulde ich|wohin überweise ich] [und kann ich heute zahlen|]
        meine Zahlung von <amount> [ging nicht durch|ist fehlgeschlagen]
    """,
    "payment_extension": """
        ~[später|in Raten|erst im <month>|erst am <day>] zahlen
        !mir [mehr Zeit|einen Aufschub|eine Frist bis <day>] [geben|einräumen]
        ich kann <bill> [diesen Monat|bis <day>] nicht zahlen
        ich zahle jetzt die Hälfte und den Rest [im <month>|am <day>]
    """,
    "payment_method": """
        ~[die Zahlungsart|meine Bankverbindung|die Karte für die Rechnung] ändern
        ~[die Lastschrift|den Bankeinzug] [einrichten|beenden]
        meine [Karte|Bank] hat sich geändert [, wo trage ich das ein|]
        welche Zahlungsarten [gibt es|haben Sie]
    """,
    "refund": """
        ~[mein Geld|die <amount>|die Kaution] zurück bekommen
        !mir [die <amount>|das doppelt gezahlte Geld] [erstatten|zurück überweisen]
        wo bleibt [meine Erstattung|mein Geld|meine Gutschrift]
        ich habe den Router zurückgeschickt und warte auf [mein Geld|<amount>]
    """,
    "tariff_advice": """
        ~[in einen günstigeren|in einen besseren|in einen anderen] Tarif wechseln
        !mir einen Tarif [mit <gigas> |unter <amount> |]empfehlen
        welche Tarife [gibt es|haben Sie] [mit <gigas>|unter <amount>|]
        ich zahle <amount> und suche etwas Günstigeres
    """,
    "upgrade_device": """
        ~[ein neues Handy|ein <device>] [zum Vertrag |]bekommen
        wann [kann|darf] ich [mein Handy verlängern|ein neues <device> haben]
        was kostet das <device> mit meinem <plan>
        mein <phone> ist alt und ich will ein neues [<device>|Gerät]
    """,
    "contract_end": """
        ~wissen , wann mein Vertrag [endet|ausläuft]
        !mir [das Vertragsende|die Kündigungsfrist] nennen
        [wie lange|bis wann] läuft mein Vertrag noch
        wie ist meine Kündigungsfrist
    """,
    "cancel_service": """
        ~[meinen Vertrag|meinen Anschluss|<internet>|alles] kündigen
        !meinen [Vertrag|Anschluss] [zum <month> |sofort |]kündigen
        hiermit kündige ich meinen [Vertrag|Tarif|Anschluss]
        was kostet es , früher aus dem Vertrag zu kommen
    """,
    "add_line": """
        ~[eine zweite Nummer|noch eine Karte] [für <relative> |zum Vertrag |]bestellen
        was kostet eine [zweite|weitere] [Nummer|Karte]
        <relative> braucht [auch |]eine [Nummer|Karte] in meinem Vertrag
        wie viele Karten kann ich in meinem <plan> haben
    """,
    "move_house": """
        ~<internet> [in die neue Wohnung|an die neue Adresse] mitnehmen
        ich ziehe [im <month>|am <day>] um und brauche dort Internet
        gibt es [Glasfaser|Internet] an der neuen Adresse
        was passiert mit dem Vertrag , wenn ich umziehe
    """,
    "port_in": """
        ~meine Nummer von <rival> [mitbringen|zu Ihnen holen]
        !meine Nummer von <rival> [übernehmen|auf die neue Karte legen]
        wann kommt meine [alte |]Nummer von <rival>
        die Mitnahme meiner Nummer von <rival> [klappt nicht|wurde abgelehnt|dauert]
    """,
    "port_out": """
        ~meine Nummer zu <rival> mitnehmen
        !meine Nummer für <rival> freigeben
        ich wechsle zu <rival> und will meine Nummer behalten
        warum [sperren|verweigern] Sie die Mitnahme meiner Nummer zu <rival>
    """,
    "sim_replacement": """
        ~[eine neue SIM|meine neue SIM-Karte|die eSIM] [bestellen|aktivieren]
        !mir eine neue SIM-Karte [schicken|freischalten]
        meine SIM-Karte [geht nicht|ist kaputt|wird nicht erkannt]
        ich [brauche|suche] die PUK meiner Karte
    """,
    "lost_or_stolen": """
        ~mein <phone> sperren , es [wurde gestohlen|ist weg]
        !meine [Karte|Nummer] sofort sperren , das <phone> ist weg
        mein <phone> wurde [am <day> |in <country> |]gestohlen
        ich habe mein <phone> [im Bus|im Zug|in <country>] verloren
    """,
    "roaming": """
        ~mein <phone> in <country> [nutzen|benutzen]
        was kostet [Roaming|das Internet] in <country>
        ich bin in <country> und [habe kein Internet|das <phone> geht nicht]
        ist <country> in meinem <plan> enthalten
    """,
    "international_calls": """
        ~[<relative> in <country>|von hier nach <country>] anrufen
        was kostet [ein Anruf|die Minute] nach <country>
        ich kann keine Nummern in <country> anrufen
        gibt es Minuten für Anrufe nach <country>
    """,
    "data_top_up": """
        ~[mehr Datenvolumen|<gigas> mehr] [kaufen|buchen]
        ~[mein Guthaben|die Karte] [mit <amount> |]aufladen
        mein [Datenvolumen|Guthaben] ist [aufgebraucht|leer]
        wie viel Datenvolumen habe ich noch
    """,
    "voicemail": """
        ~die Mailbox [einrichten|ausschalten|abhören|einschalten]
        ich kann meine Nachrichten nicht abhören
        [wie ist|ich habe vergessen :] die [PIN|Nummer] der Mailbox
        meine Mailbox [ist voll|geht nicht an]
    """,
    "no_signal": """
        ich habe [keinen Empfang|kein Netz] [<place>|<a_while>]
        ~[endlich|] Empfang <place> haben
        mein <phone> zeigt [kein Netz|nur Notruf] [<a_while>|]
        Gespräche brechen [<place>|<a_while>] ab
    """,
    "slow_internet": """
        <internet> ist [<place> |<a_while> |][sehr|so|viel zu] langsam
        ich zahle für <speed> und bekomme nur <speed>
        warum ist <internet> so langsam
        Videos [bleiben stehen|ruckeln] [<place>|<a_while>]
    """,
    "outage": """
        gibt es eine Störung [bei uns|in meiner Straße|]
        [hier|bei uns] geht [gar nichts mehr|kein Internet in der ganzen Straße] [<a_while>|]
        wann [geht|läuft] <internet> wieder
        ~eine Störung [in der Straße|<place>] melden
    """,
    "router_setup": """
        ~[den Router|den neuen Router|das WLAN] [einrichten|anschließen]
        ~das WLAN-Passwort ändern
        der Router ist da und ich weiß nicht , wie man ihn anschließt
        mein <device> kommt [in <room> |]nicht ins WLAN
    """,
    "technician_visit": """
        ~einen Termin mit dem Techniker [machen|verschieben|absagen]
        wann kommt der Techniker [am <day>|]
        der Techniker ist [heute|am <day>] nicht gekommen
        !einen Techniker [am <day> |zu mir |]schicken
    """,
    "parental_control": """
        ~[die Kindersicherung|den Jugendschutz] [einschalten|ausschalten|einrichten]
        ~Seiten auf dem Handy [meines Sohnes|meiner Tochter] sperren
        wie begrenze ich die Zeit der Kinder im Internet
        gibt es einen Filter für Kinder
    """,
    "password_reset": """
        ~mein Passwort [ändern|zurücksetzen]
        ich komme nicht [in mein Konto|in die App]
        ich habe mein Passwort vergessen
        mein Konto ist [nach <count> Versuchen |]gesperrt
    """,
    "fraud_report": """
        ~einen Betrug [melden|anzeigen]
        jemand hat in meinem Namen [einen Vertrag gemacht|ein <device> bestellt]
        ich habe eine [Nachricht|Mail] bekommen , die nach Betrug aussieht
        jemand hat sich als Ihr Mitarbeiter ausgegeben und wollte meinen Code
    """,
    "privacy_request": """
        ~[meine Daten|eine Auskunft über meine Daten] [sehen|bekommen|löschen lassen]
        ~meine Einwilligung [in Werbung|in die Aufzeichnung] widerrufen
        !meine [Daten|Aufnahmen] löschen
        welche Daten speichern Sie über mich
    """,
    "complaint": """
        ~[mich über <grievance> beschweren|eine Beschwerde einreichen]
        ich bin sehr [unzufrieden|verärgert] über <grievance>
        es geht um <grievance> , das ist eine Frechheit
        ~wissen , was aus meiner Beschwerde [vom <month> |]wurde
    """,
    "grievance": """
        [den Service|den Umgang mit Kunden|die Firma]
        [die Wartezeit|den Techniker , der nicht kam|die Ausfälle]
    """,
    "speak_to_agent": """
        ~mit [einem Menschen|einem Mitarbeiter|jemandem] sprechen
        !mich mit [einem Mitarbeiter|einem Menschen] verbinden
        !mich [am <day> |heute |]zurückrufen
        [Mitarbeiter|Berater|ein Mensch] bitte
    """,
}
