"""English wording of matters about bills and contracts; see `wording_en` for the notation."""

MATTERS = {
    "bill_explanation": """
        ~understand [<which_bill>|the charges on <which_bill>|how <which_bill> is made up]
        ~know [why|how come] <which_bill> [is|was|came out] [so high|higher than usual|different]
        ~[see|get|have] [a breakdown|the details|an itemised list] of <which_bill>
        !explain [<which_bill>|<fee> on <which_bill>|what i am paying for|the <amount> on my <bill>]
        !go through <which_bill> [with me|line by line]
        why [is|was] <which_bill> [<amount>|so high|<amount> more than last month|not the same]
        what [is|does] <fee> [on|in] <which_bill> [for|mean|]
        what [am i|are we] paying [<amount> |]for [exactly|this month|here]
        [i don't|i do not|i can't] [understand|make sense of|read] <which_bill>
        <which_bill> [went up|jumped|rose] by <amount> [and i wonder why|, what changed|]
        [how do you|can you tell me how you] [get to|arrive at|calculate] <amount>
        [just |][a |]question about <which_bill>
        there is <odd_charge> on <which_bill> , what is that
    """,
    "bill_dispute": """
        ~[dispute|challenge|contest|query|object to] [<odd_charge>|<which_bill>|this]
        !take [<odd_charge>|this|it|<amount>] off <which_bill>
        !correct <which_bill> [because|as] [it is wrong|i never ordered this|that is not mine]
        there is <odd_charge> [on|in] <which_bill> [that i never agreed to|and it is not mine|]
        [i was|i have been|you have] charged [twice|<amount> too much|for <service>] [in <month>|]
        [i did not|i never] [order|use|ask for|agree to] <service> [but you charge me for it|]
        [i am not going to|i will not|i refuse to] pay [<odd_charge>|<which_bill>|for this]
        why [was i|am i being|did you] charged [twice|for <service>] [when i never used it|]
        <which_bill> is wrong [, it should be <amount>|, we agreed on <amount>|]
        [something is wrong|there is a mistake|there is an error] [with|on|in] <which_bill>
        [i was promised|we agreed on] <amount> but <which_bill> says <amount>
        this charge [is not mine|is a mistake|cannot be right] [, please check it|]
    """,
    "make_payment": """
        ~[pay|settle|clear] [<which_bill>|my balance|what i owe|the outstanding <amount>]
        ~[pay|make a payment of] <amount> [now|today|by card|over the phone]
        ~make a payment [by card|by transfer|on my account|]
        !take [a|the|my] payment [of <amount>|now|over the phone|]
        [where|how] [can i|do i] pay <which_bill> [online|in a shop|]
        [which|what] [account|details|reference] do i [use|need] to pay [<which_bill>|you]
        how much do i [owe|have to pay] [and can i pay now|, i want to pay it today]
        [i have|i've got] [my card|the money] here [and want to pay|to pay <amount>]
        [my payment|the payment of <amount>] [failed|did not go through] [, can i pay again|]
        [did you get|have you received] my payment [of <amount>|from <day>|]
        [i forgot|i missed] to pay <which_bill> [, let me do it now|and want to settle it now]
    """,
    "payment_extension": """
        ~[get|have] [more time|an extension|a few more days|until <day>] to pay <which_bill>
        ~pay <which_bill> [later|next month|on <day>|after payday|in instalments|in <count> parts]
        ~[set up|agree on|arrange] [a payment plan|instalments|a later date] [for <which_bill>|]
        !give me [more time|until <day>|another week|an extension] [to pay|for <which_bill>|]
        !move [the due date|my payment date] [to <day>|a week back|]
        [i can't|i cannot|i am not able to] pay [<which_bill>|<amount>] [until <day>|this month|]
        [i can only|i could] pay [half|<amount>] now and the rest [on <day>|in <month>|later]
        [i get paid|my wages come] [on <day>|next week] [, can it wait until then|]
        [what happens|do you cut me off] if i pay <which_bill> [late|in <month>|on <day>]
        [please do not|don't] cut [me|my line] off , i will pay [on <day>|next week]
    """,
    "payment_method": """
        ~[change|update|switch] [how i pay|my payment method|my bank details|my card details]
        ~[set up|start|stop|cancel] [a|the|my] [direct debit|standing order|automatic payment]
        ~pay by [direct debit|card|bank transfer|cash] from now on [instead of <other_way>|]
        ~[add|use|register] [a new card|another card|a different bank account] [for my bills|]
        !take my [old card|bank account|card] off [the account|file] [and use the new one|]
        my [card|bank account] [has expired|has changed|was replaced] [, where do i update it|]
        [i have|i've got] [a new card|a new bank account] [for|to pay] my bills
        [do you|can i] [accept|take|use] [another card|bank transfers|<other_way>] for the bills
        [what|which] ways [of paying|to pay] [do you have|are there]
        the direct debit [is on the wrong account|should come from another account]
    """,
    "other_way": "[cash|cheque|bank transfer|direct debit|card]",
    "refund": """
        ~[get|have] [my money|<amount>|the <amount>|my deposit] back
        ~[ask for|request|claim] [a refund|my money back] [of <amount>|for <service>|]
        ~know [when|where] [my refund|the refund of <amount>|the money] [will come|is]
        !refund [me|the <amount>|<fee>|the double payment]
        !check [where my refund is|what happened to my refund [of <amount>|]]
        where is [my refund|the money you promised|my <amount>]
        [i am|i'm] [still |]waiting for [my|the|a] refund [of <amount>|since <month>|]
        when [do i|will i] [get|see] [my money|my refund|the <amount>] [back|]
        [i paid|you took] [twice|<amount> too much] and [want it back|would like it returned]
        i [sent back|returned] the [router|phone|<device>] and [got no refund|want my money]
        [you owe me|i should get back|i am owed] <amount> [from <month>|]
    """,
    "tariff_advice": """
        ~[find|get|switch to|move to|change to] [a cheaper|a better|another|a different] <plan>
        ~[change|review|compare] [my|the] [<plan>|plans|tariffs|offers]
        ~[know|hear] [which|what] <plan> [suits|fits|is best for] me
        !recommend [a|another|the right] <plan> [for me|with more data|under <amount>]
        !tell me [about|more about] [your|the] [plans|tariffs|offers|<gigas> plan]
        [which|what] [plan|tariff|plans] [do you have|would you recommend|is best] [under <amount>|]
        i pay <amount> and [want|need] [to pay less|a cheaper <plan>|something cheaper]
        [do you have|is there] [anything|something|a <plan>] [cheaper|with more data|with <gigas>]
        my <plan> is too [expensive|big|small] [for me|, what else is there|]
        [what does|how much is] [the <gigas> plan|unlimited data|the family plan] [cost|]
        [i use|i need] [only |about |]<gigas> a month [, which plan is right|]
    """,
    "upgrade_device": """
        ~[upgrade|get an upgrade] [my phone|to the <device>|to a newer <device>|early|]
        ~[get|order|buy|have] [a new phone|the <device>|a new <device>] [with|on] my [contract|plan]
        ~[swap|trade in|exchange] my [old phone|<device>] for [a new one|the <device>]
        !tell me [if|when] i [can|am allowed to] [upgrade|get a new phone]
        [am i|are we] [due|eligible|entitled] [for|to] [an upgrade|a new phone] [yet|]
        [when|how soon] can i [upgrade|have a new phone|get the <device>]
        [how much|what] [is|does] the <device> [cost |][on my plan|with a contract|per month]
        my [phone|<device>] is [slow|broken|old] [and|so] i want a new [one|device]
        [do you have|is] the <device> [in stock|available|in black]
        [what do you give|how much do i get] for my old <device>
    """,
    "contract_end": """
        ~[know|find out|check] when my [contract|<plan>|minimum term] [ends|runs out|is over]
        ~[know|check] [my notice period|how long i am still bound|how much time is left]
        !tell me [when my contract ends|how long my contract still runs|my end date]
        when [does|will] my [contract|<plan>|minimum term] [end|expire|run out|finish]
        how [long|many months] [is|am i|do i have] left [on|in] my [contract|<plan>]
        [how long|until when] am i [bound|tied in|locked in] [to you|]
        what is my notice period [and when does it start|]
        does my [contract|<plan>] renew [by itself|automatically] [in <month>|]
        [is my contract|am i] [still running|out of contract|free to go] [already|in <month>|]
        the end date of my [contract|<plan>] [please|is what i need|]
    """,
    "cancel_service": """
        ~[cancel|end|terminate|stop|close] my [contract|<plan>|account|<internet>|subscription]
        ~[leave|quit|get out of my contract] [early|at the end of <month>|now|]
        ~[give|hand in] [notice|my notice] [for <month>|on my contract|]
        !cancel [everything|my contract|my <internet>|the <plan>] [from <month>|right away|]
        [please |]cancel my [contract|<plan>|line|account] [by <month>|with immediate effect|]
        [i no longer|i don't] need [the|my] [<internet>|line|contract] [, please end it|any more]
        [how much|what] does it cost [me |]to [leave|cancel|get out] early
        [i am|i'm] [leaving|done with] [you|this company] [, close my account|]
        [this is my notice|take this as my notice] [for|to end] my [contract|<plan>]
        [i found|i have] a better offer [at <rival>|] and want to [leave|cancel|go]
        [where|to whom] do i send my cancellation
        i do not want to [renew|extend] [my contract|] [again|]
    """,
    "add_line": """
        ~[add|get|order|open] <one_more> [line|number|sim] [for my <relative>|]
        ~[put|add|include] my <relative> [on|to] my [plan|account|contract]
        ~have [two|<count>] [numbers|lines|phones] [on|under] [one|my] [account|contract]
        !add [a line|a sim|my <relative>] to my [account|plan]
        [how much|what] [is|does] [a second line|an extra sim|another number] [cost|]
        my <relative> needs [a number|a sim|a line] [too|of their own] [, can it go on my account|]
        [do you|do i get a] [have |]family [plans|discount] for [<count>|more] lines
        [i need|we need] <one_more> [sim|line|number] for [work|a tablet|my <relative>]
        how many lines can i have [on|under] my [account|plan]
    """,
    "one_more": "[another|a second|one more|an extra]",
    "move_house": """
        ~[take|move|transfer] [my|our] <internet> to [my|our] new [flat|home|address|house]
        ~[change|update] [my|the] address because [i am|we are] moving [in <month>|on <day>|]
        ~[know|check] if [you have|there is] <internet> at [my|our] new [home|flat|address]
        !move [my|our] [<internet>|service|contract] to [the|our|my] new [address|house|flat]
        [i am|we are|i'm] moving [house |flat |][on <day>|in <month>|soon] and <need_line>
        [what happens|what do i do] with my [<internet>|contract] when i move
        [is your|do you have] [fibre|broadband|service] [available |]at [my|our|the] new address
        [my|our] new [flat|house|home] [needs|should have] [the <internet>|my line] from <day>
        [i have|we have] a new address [from <day>|from <month>|] for the <internet>
    """,
    "need_line": "[need|want] [the <internet> there|my <internet> to come|to keep my <internet>]",
}
