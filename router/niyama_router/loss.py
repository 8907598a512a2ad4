"""What a request that its replica lost, refused or gave back means to the client, as the router's journeys tell it."""

from niyama_runtime import replica_failures
from niyama_runtime.replica_failures import for_the_client, is_about_the_request
from niyama_runtime.status import Failure

from niyama_router.errors import RequestFailedError
from niyama_router.journey import Journey
from niyama_router.placing import Berth

__all__ = ["broken", "for_the_client", "is_about_the_request", "no_capacity", "poisonous"]


def no_capacity(berth: Berth) -> Failure:
    """Return what a client hears whose request fits nowhere."""
    return replica_failures.no_capacity(berth.replica)


def broken(journey: Journey, failure: Failure) -> RequestFailedError:
    """Return the error of a stream that broke after tokens and cannot go on: it says how many the client has."""
    return RequestFailedError(
        replica_failures.broken(failure, replica=journey.replica, num_tokens=journey.num_delivered)
    )


def poisonous(journey: Journey, failure: Failure) -> RequestFailedError:
    """Return the error of a request on which replica after replica has failed."""
    return RequestFailedError(
        replica_failures.poisonous(
            failure, replica=journey.replica, num_losses=journey.num_losses, num_tokens=journey.num_delivered
        )
    )
