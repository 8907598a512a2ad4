"""Latency profiles as documents: what a profile file holds, read from plain mappings and written back.

Pure: takes what a YAML reader returned, gives a `LatencyProfile`, or all problems at once, each with the path of its
field. docs/profiles.md shows a file.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from niyama_core.additive_law import AdditiveLaw, Curve
from niyama_core.latency import LatencyModel, LinearPiece, PhysicalLaw, ScaledLatency, TwoPieceLaw
from niyama_core.manifest_reader import ManifestReader
from niyama_core.profiles import LatencyProfile

__all__ = ["API_VERSION", "KIND", "parse_profile", "profile_document"]

API_VERSION = "niyama.dev/v1alpha1"
KIND = "LatencyProfile"
_MOST_TOKENS = 2**40
_MOST_SECONDS = 3600.0


def parse_profile(document: object) -> LatencyProfile:
    """Return the profile that a document declares.

    Raises:
        ManifestError: the document has problems; all of them are in it.
    """
    reader = ManifestReader(document)
    for key, expected in (("apiVersion", API_VERSION), ("kind", KIND)):
        value = reader.text(key)
        if value and value != expected:
            reader.problem(key, f"must be {expected}, not {value!r}")
    metadata, spec = reader.section("metadata"), reader.section("spec")
    profile = LatencyProfile(
        name=metadata.text("name"),
        model=spec.text("model"),
        gpu=spec.text("gpu"),
        law=_read_model(spec.section("law")),
        predictor=_read_model(spec.section("predictor")),
        kv_capacity_tokens=spec.integer("kvCapacityTokens", 0, least=16, most=_MOST_TOKENS),
        context_tokens=spec.integer("contextTokens", 0, least=16, most=_MOST_TOKENS),
        source=spec.text("source", "a profile file"),
    )
    for section in (metadata, spec, reader):
        section.refuse_unknown()
    reader.raise_problems()
    return profile


def profile_document(profile: LatencyProfile) -> dict[str, object]:
    """Return the document that `parse_profile` reads the profile from.

    Raises:
        TypeError: documents have no form for one of its models.
    """
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": profile.name},
        "spec": {
            "model": profile.model,
            "gpu": profile.gpu,
            "kvCapacityTokens": profile.kv_capacity_tokens,
            "contextTokens": profile.context_tokens,
            "source": profile.source,
            "predictor": _model_document(profile.predictor),
            "law": _model_document(profile.law),
        },
    }


def _read_model(section: ManifestReader) -> LatencyModel:
    """Read the one form of a model that is given."""
    given = [form for form in _FORMS if form in section]
    section.refuse_unknown()
    if len(given) != 1:
        section.problem(given[1] if given else "", f"give one form of {', '.join(_FORMS)}")
        return _NOTHING
    return _FORMS[given[0]](section.section(given[0]))


def _read_physical(section: ManifestReader) -> LatencyModel:
    law = PhysicalLaw(
        base=_seconds(section, "base"),
        token=_seconds(section, "token"),
        floor_tokens=section.integer("floorTokens", 0, least=0, most=1_000_000),
        step=_seconds(section, "step"),
        step_tokens=section.integer("stepTokens", 0, least=0, most=1_000_000),
        prefill=_seconds(section, "prefill"),
        any_prefill=_seconds(section, "anyPrefill"),
        decode=_seconds(section, "decode"),
        attention=_seconds(section, "attention"),
        decode_context=_seconds(section, "decodeContext"),
    )
    section.refuse_unknown()
    if law.base <= 0:
        section.problem("base", "must be above 0: every iteration takes some time")
    return law


def _physical_document(law: PhysicalLaw) -> dict[str, object]:
    return {
        "base": law.base,
        "token": law.token,
        "floorTokens": law.floor_tokens,
        "step": law.step,
        "stepTokens": law.step_tokens,
        "prefill": law.prefill,
        "anyPrefill": law.any_prefill,
        "decode": law.decode,
        "attention": law.attention,
        "decodeContext": law.decode_context,
    }


def _read_two_piece(section: ManifestReader) -> LatencyModel:
    law = TwoPieceLaw(
        section.integer("splitTokens", 512, least=0, most=1_000_000),
        _read_piece(section.section("below")),
        _read_piece(section.section("above")),
    )
    section.refuse_unknown()
    return law


def _read_piece(section: ManifestReader) -> LinearPiece:
    piece = LinearPiece(
        intercept=_seconds(section, "intercept"),
        prefill=_seconds(section, "prefill"),
        # A regression may give it a minus, as the published one does.
        decode=section.number("decode", 0.0, least=-1.0, most=_MOST_SECONDS),
        decode_context=_seconds(section, "decodeContext"),
        prefill_context=_seconds(section, "prefillContext"),
    )
    section.refuse_unknown()
    if piece.intercept <= 0:
        section.problem("intercept", "must be above 0: every iteration takes some time")
    return piece


def _two_piece_document(law: TwoPieceLaw) -> dict[str, object]:
    return {
        "splitTokens": law.split_tokens,
        "below": _piece_document(law.below),
        "above": _piece_document(law.above),
    }


def _piece_document(piece: LinearPiece) -> dict[str, object]:
    return {
        "intercept": piece.intercept,
        "prefill": piece.prefill,
        "decode": piece.decode,
        "decodeContext": piece.decode_context,
        "prefillContext": piece.prefill_context,
    }


def _read_additive(section: ManifestReader) -> LatencyModel:
    law = AdditiveLaw(
        tokens=_read_curve(section.section("tokens")),
        decodes=_read_curve(section.section("decodes")),
        decode_context=_read_curve(section.section("decodeContext")),
        prefill_context=_read_curve(section.section("prefillContext")),
        attention=_read_curve(section.section("attention")),
        prefill=_seconds(section, "prefill"),
        any_prefill=_seconds(section, "anyPrefill"),
        any_decode=_seconds(section, "anyDecode"),
    )
    section.refuse_unknown()
    if law.tokens.at(0) <= 0:
        section.problem("tokens", "must be above 0 everywhere: every iteration takes some time")
    return law


def _additive_document(law: AdditiveLaw) -> dict[str, object]:
    return {
        "tokens": _curve_document(law.tokens),
        "decodes": _curve_document(law.decodes),
        "decodeContext": _curve_document(law.decode_context),
        "prefillContext": _curve_document(law.prefill_context),
        "attention": _curve_document(law.attention),
        "prefill": law.prefill,
        "anyPrefill": law.any_prefill,
        "anyDecode": law.any_decode,
    }


def _read_curve(section: ManifestReader) -> Curve:
    """Read a curve; an absent one is 0 everywhere."""
    at = section.numbers("at", least=0.0, most=1e18)
    seconds = section.numbers("seconds", least=0.0, most=_MOST_SECONDS)
    beyond = _seconds(section, "beyond")
    section.refuse_unknown()
    if len(at) != len(seconds):
        section.problem("seconds", f"must be as many as at: {len(at)}, not {len(seconds)}")
        return Curve()
    try:
        return Curve.through(list(zip(at, seconds, strict=True)) or [(0.0, 0.0)], beyond=beyond)
    except ValueError as error:
        section.problem("at", str(error))
        return Curve()


def _curve_document(curve: Curve) -> dict[str, object]:
    return {"at": list(curve.starts), "seconds": list(curve.values), "beyond": curve.beyond}


def _read_scaled(section: ManifestReader) -> LatencyModel:
    model = ScaledLatency(_read_model(section.section("model")), section.number("factor", 1.0, least=1e-6, most=1e6))
    section.refuse_unknown()
    return model


def _seconds(section: ManifestReader, key: str) -> float:
    return section.number(key, 0.0, least=0.0, most=_MOST_SECONDS)


def _model_document(model: LatencyModel) -> dict[str, object]:
    match model:
        case PhysicalLaw():
            return {"physical": _physical_document(model)}
        case TwoPieceLaw():
            return {"twoPiece": _two_piece_document(model)}
        case AdditiveLaw():
            return {"additive": _additive_document(model)}
        case ScaledLatency():
            return {"scaled": {"factor": model.factor, "model": _model_document(model.model)}}
        case _:
            raise TypeError(f"a profile file has no form for {type(model).__name__}")


_NOTHING = LinearPiece(1.0, 0.0, 0.0, 0.0, 0.0)
_FORMS: Mapping[str, Callable[[ManifestReader], LatencyModel]] = MappingProxyType(
    {
        "physical": _read_physical,
        "twoPiece": _read_two_piece,
        "additive": _read_additive,
        "scaled": _read_scaled,
    }
)
