"""Addresses that are known without a load board: listed, and by a name that stands for several."""

from niyama_router.seeds import Seeds


async def test_listed_addresses_are_known_from_the_start() -> None:
    seeds = Seeds(["10.0.0.1:1"])
    await seeds.look_once()
    assert seeds.addresses() == {"10.0.0.1:1"}


async def test_a_name_is_looked_up() -> None:
    seeds = Seeds(["10.0.0.1:1"], service="localhost:50051")
    assert seeds.addresses() == {"10.0.0.1:1"}
    await seeds.look_once()
    assert "127.0.0.1:50051" in seeds.addresses()


async def test_a_look_up_that_fails_leaves_the_last_addresses_standing() -> None:
    seeds = Seeds((), service="localhost:50051")
    await seeds.look_once()
    known = seeds.addresses()
    seeds._service = type(seeds._service)("no.such.name.invalid", 50051)  # type: ignore[misc]
    await seeds.look_once()
    assert seeds.addresses() == known != frozenset()
