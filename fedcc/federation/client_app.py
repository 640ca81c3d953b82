"""The ClientApp: Flower messages in, one site's answers out.

Whatever goes wrong at a site, the aggregator gets one code and no text; the reason stays in the
site's own log.
"""

from collections.abc import Callable, Mapping
from typing import get_args

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from fedcc.errors import ConfigError, FedccError
from fedcc.federation.messages import UNAVAILABLE, Exchange, Parcel
from fedcc.federation.reply_schedule import ReplySchedule
from fedcc.federation.site_round import Site


def build_client_app(sites: Mapping[int, Site], schedule: ReplySchedule) -> ClientApp:
    """Return the app that answers every exchange for the sites of this process.

    Args:
        sites: by Flower's `partition-id`; one in production, all of them in a simulation.
        schedule: when answers leave.
    """
    app = ClientApp()
    for exchange in get_args(Exchange):
        app.query(exchange)(_handler(exchange, sites, schedule))
    return app


def _handler(
    exchange: Exchange, sites: Mapping[int, Site], schedule: ReplySchedule
) -> Callable[[Message, Context], Message]:
    def handle(message: Message, context: Context) -> Message:
        started = schedule.clock()
        try:
            site = sites[int(context.node_config["partition-id"])]
            reply = _answer(site, exchange, message)
            # A refusal waits as an update does: when it comes tells as much.
            if periods := schedule.wait(exchange, started):
                site.note_overrun(exchange, periods)
        except Exception:
            # Not even the site's own log could be written; still no text leaves.
            reply = Parcel({"refused": UNAVAILABLE})
            schedule.wait(exchange, started)
        return Message(reply.to_record(), reply_to=message)

    return handle


def _answer(site: Site, exchange: Exchange, message: Message) -> Parcel:
    """Return the site's answer, or the one code of every refusal after logging its reason."""
    try:
        return site.answer(exchange, Parcel.from_record(message.content))
    except FedccError as error:
        site.refuse(exchange, error)
    except OSError as error:
        text = f"{site.name}: its files cannot be written: {error.strerror}. Free space and resume."
        site.refuse(exchange, ConfigError(text))
    except Exception as error:
        bug = FedccError(f"{exchange} failed at {site.name}: {type(error).__name__}")
        bug.__cause__ = error
        site.refuse(exchange, bug)
    return Parcel({"refused": UNAVAILABLE})
