"""A generated contact-centre world: invented customers, their calls and chats, and who leaves.

Everything here is synthetic. No row stands for a real person, no text was taken from a recording,
and a result on this data says nothing about real callers.
"""
