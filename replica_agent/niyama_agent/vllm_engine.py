"""vLLM as an engine: a model on a GPU (or a CPU), scheduled by deadlines inside vLLM's own scheduler.

Three processes: this one reads prompts and answers; vLLM's engine core schedules, with `vllm_scheduler` inside; its
workers compute. What the scheduler decides comes back by `scheduler_channel`: iterations, relegations, load.

Each answer is read by a task of its own, at the pace of the engine, so that the instants of its tokens are those of
their emission however slowly a client reads.
"""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import structlog
import vllm
from niyama_core.journal import IterationRecord
from niyama_core.latency import LatencyModel
from niyama_core.policies import SchedulerSettings
from niyama_runtime.clock import Clock
from niyama_runtime.profile_file import find_profile
from vllm.exceptions import VLLMClientError, VLLMError
from vllm.inputs import TokensPrompt
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.exceptions import EngineDeadError

from niyama_agent.engine import (
    Aborted,
    AbortReason,
    Admitted,
    DrainCounts,
    DuplicateRequestError,
    EngineDiedError,
    EngineError,
    EngineEvent,
    EngineFacts,
    EngineLoad,
    EngineRequest,
    EngineStartError,
    Finished,
    FinishReason,
    HandBackReason,
    HandedBack,
    LastEvent,
    Relegated,
    RequestRefusedError,
)
from niyama_agent.engine_sweep import QUICK_SWEEP, Sweep, SweepRun, sweep_points
from niyama_agent.profile_store import ProfileKey, profile_path, store_profile, stored_profile
from niyama_agent.quick_profile import quick_profile
from niyama_agent.scheduler_channel import AgentChannel
from niyama_agent.scheduler_reports import BeginAnew, HandBack, RelegatedName, Report, Reschedule
from niyama_agent.scheduler_setup import bounded, setup_document
from niyama_agent.token_stream import TokenStream
from niyama_agent.tokenizer import Tokenizer
from niyama_agent.vllm_answer import VllmAnswer, sampling_params
from niyama_agent.vllm_arguments import engine_config, profile_key
from niyama_agent.vllm_tokenizer import ModelTokenizer

__all__ = ["VllmEngine", "VllmSettings"]

_PRIOR = "a100-llama3-8b"
_PROGRESS_SECONDS = 5.0
_PULSE_SECONDS = 0.1
_REPORT_SECONDS = 0.2

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class VllmSettings:
    """A vLLM engine.

    Attributes:
        model: name or path.
        arguments: vLLM's own, as on its command line.
        profile: name or file of the latency profile that the predictor starts from; empty for one that was stored for
            the model and this machine, or is measured at the start.
        replay: whether requests may say how long their answer is.
        scheduler: the policy and its settings.
        measure: whether the machine is measured at the start where nothing is known of it.
    """

    model: str
    arguments: tuple[str, ...] = ()
    profile: str = ""
    replay: bool = False
    scheduler: SchedulerSettings = field(default_factory=SchedulerSettings)
    measure: bool = True


class VllmEngine:
    """A model that vLLM runs and Niyama schedules.

    Args:
        settings: of the engine.
        clock: by which tokens are stamped; the machine's monotonic clock, which the engine's process reads too.
        on_iteration: takes the record of each iteration.
    """

    def __init__(
        self, settings: VllmSettings, clock: Clock, *, on_iteration: Callable[[IterationRecord], None]
    ) -> None:
        """Load nothing yet."""
        self._settings = settings
        self._clock = clock
        self._on_iteration = self._sink = on_iteration
        self._profile_name = settings.profile or _PRIOR
        self._is_measured = bool(settings.profile)
        self._key: ProfileKey | None = None
        self._answers: dict[str, VllmAnswer] = {}
        self._draining = False
        self._dead: EngineDiedError | None = None
        self._llm: AsyncLLM | None = None
        self._channel: AgentChannel | None = None
        self._folder: Path | None = None
        self._following: asyncio.Task[None] | None = None
        self._facts: EngineFacts | None = None
        self._tokenizer: ModelTokenizer | None = None
        self._load: EngineLoad | None = None
        self._advised: Mapping[str, Any] = {}

    @property
    def facts(self) -> EngineFacts:
        """What the engine is; known once it is ready."""
        assert self._facts is not None, "the engine is ready"
        return self._facts

    @property
    def key(self) -> ProfileKey:
        """What the times of its iterations depend on; known once it is ready."""
        assert self._key is not None, "the engine is ready"
        return self._key

    @property
    def tokenizer(self) -> Tokenizer:
        """How the model reads text; known once the engine is ready."""
        assert self._tokenizer is not None, "the engine is ready"
        return self._tokenizer

    async def start(self) -> None:
        """Load the model; the log says every few seconds that it goes on.

        Raises:
            EngineStartError: it cannot be loaded; the message says why, or where the reason stands.
        """
        self._folder = Path(tempfile.mkdtemp(prefix="niyama-"))
        self._channel = AgentChannel(self._folder)
        self._following = asyncio.create_task(self._channel.follow(self._take))
        began = self._clock.now()
        try:
            self._llm = await self._loaded(began)
            self._describe(self._llm)
            _log.info("model_loaded", model=self._settings.model, seconds=round(self._clock.now() - began, 1))
            if self._settings.measure and not self._is_measured:
                await self._measure()
        except BaseException:
            await self._close()
            raise

    async def _loaded(self, began: float) -> AsyncLLM:
        """Wait for the model, and say every few seconds that it goes on."""
        loading = asyncio.create_task(asyncio.to_thread(self._load_model))
        while not (await asyncio.wait((loading,), timeout=_PROGRESS_SECONDS))[0]:
            _log.info("loading_model", model=self._settings.model, seconds=round(self._clock.now() - began))
        return loading.result()

    def _describe(self, llm: AsyncLLM) -> None:
        """Take in what is known of a model when it has been loaded."""
        config = llm.vllm_config
        blocks = config.cache_config.num_gpu_blocks or 0
        self._facts = EngineFacts(
            name="vllm",
            version=vllm.__version__,
            profile=self._profile_name,
            scheduler=self._bounded(self._settings.scheduler),
            context_tokens=config.model_config.max_model_len,
            kv_capacity_tokens=blocks * config.cache_config.block_size,
            replay=self._settings.replay,
        )
        self._tokenizer = ModelTokenizer(llm.get_tokenizer())
        # Read from a file each time that it is asked for.
        self._advised = llm.model_config.get_diff_sampling_param()
        self._load = EngineLoad.idle(
            find_profile(self._profile_name).predictor, kv_tokens=self.facts.kv_capacity_tokens
        )

    async def run(self) -> None:
        """Take in what the scheduler reports until cancelled. However it ends, readers are told.

        Raises:
            EngineDiedError: vLLM's engine core has ended.
        """
        assert self._llm is not None, "the engine is ready"
        assert self._following is not None, "the engine is ready"
        try:
            while not self._llm.errored:
                await asyncio.wait((self._following,), timeout=_PULSE_SECONDS)
                if self._following.done():
                    self._following.result()
            raise EngineDiedError("vLLM's engine core has ended by itself: its last words are above")
        finally:
            self._dead = EngineDiedError("the engine has stopped")
            for answer in self._answers.values():
                answer.stream.fail(self._dead)
            await self._close()

    async def generate(self, request: EngineRequest) -> AsyncGenerator[EngineEvent, None]:
        """Yield the events of a request. Closing it frees all that it holds.

        Raises:
            DuplicateRequestError: a live request has the same id.
            RequestRefusedError: vLLM refuses it.
            EngineDiedError: the engine has ended.
            EngineError: vLLM failed at it.
        """
        request_id = request.request.request_id
        if self._draining:
            yield HandedBack(HandBackReason.DRAINING)
            return
        if self._dead is not None:
            raise self._dead
        if request_id in self._answers:
            raise DuplicateRequestError(f"request {request_id!r} is live already")
        num_before = len(request.emitted_token_ids)
        if num_before and num_before == request.replay_output_tokens:
            # The stream broke between the last token and the word that it was the last.
            yield Admitted()
            yield Finished(FinishReason.STOP, num_before)
            return
        answer = self._answers[request_id] = VllmAnswer(
            TokenStream(num_before), num_before, request.replay_output_tokens
        )
        answer.stream.notify(Admitted())
        answer.reading = asyncio.create_task(self._read(request, answer))
        try:
            while True:
                event = await answer.stream.next_event()
                yield event
                if isinstance(event, LastEvent):
                    return
        finally:
            answer.reading.cancel()
            if self._answers.get(request_id) is answer:
                del self._answers[request_id]

    async def abort(self, request_id: str, reason: AbortReason) -> bool:
        """End a request in whatever state; return whether it was live."""
        answer = self._answers.pop(request_id, None)
        if answer is None:
            return False
        if answer.reading is not None:
            answer.reading.cancel()
        answer.stream.end(Aborted(reason))
        return True

    def load(self, now: float) -> EngineLoad:
        """Return how loaded the engine is, as the scheduler last said; at most some 50 ms ago while it works."""
        assert self._load is not None, "the engine is ready"
        return replace(self._load, draining=self._draining)

    def drain(self) -> DrainCounts:
        """Take nothing new, hand back what has not begun, let the rest run on.

        Which have not begun is known in the engine's process alone: those without a token are counted as handed back,
        and of them run on whose prefill has begun.
        """
        self._draining = True
        if self._channel is not None:
            self._channel.order(HandBack())
        num_running = sum(answer.num_emitted > 0 for answer in self._answers.values())
        return DrainCounts(len(self._answers) - num_running, num_running)

    def reschedule(self, scheduler: SchedulerSettings) -> None:
        """Schedule by other settings from the next iteration on."""
        self._facts = replace(self.facts, scheduler=self._bounded(scheduler))
        assert self._channel is not None, "the engine is ready"
        self._channel.order(Reschedule(scheduler))

    def plan_with(self, predictor: LatencyModel) -> None:
        """Forget what was learned, and plan from another predictor on, as soon as nobody is served."""
        assert self._channel is not None, "the engine is ready"
        self._channel.order(BeginAnew(self.facts.scheduler, predictor))

    async def sweep(self, sweep: Sweep) -> list[IterationRecord]:
        """Run a grid of iterations and return their records; nobody may be served meanwhile.

        Raises:
            EngineError: an iteration failed.
        """
        records: list[IterationRecord] = []
        scheduler, self._sink = self.facts.scheduler, records.append
        assert self._llm is not None, "the engine is ready"
        bounds = self._llm.vllm_config.scheduler_config
        run = SweepRun(self, vocabulary_size=self._llm.model_config.get_vocab_size())
        points = sweep_points(sweep, most_tokens=bounds.max_num_batched_tokens, most_sequences=bounds.max_num_seqs)
        for index, point in enumerate(points):
            _log.debug("sweep", point=index + 1, of=len(points))
            await run.run_point(point)
        # The last iterations are still on their way.
        await asyncio.sleep(_REPORT_SECONDS)
        self._sink = self._on_iteration
        self.reschedule(scheduler)
        return records

    async def _measure(self) -> None:
        """Measure the machine for a few seconds, so that the first request is planned by what it can do.

        Raises:
            EngineStartError: it cannot run what it was asked to.
        """
        began = self._clock.now()
        try:
            records = await self.sweep(QUICK_SWEEP)
        except EngineError as error:
            raise EngineStartError(f"the first iterations failed: {error}") from error
        profile = quick_profile(records, self.key, facts=self.facts)
        path = profile_path(self.key)
        try:
            store_profile(profile, path)
        except OSError as error:
            _log.warning("profile_not_stored", file=str(path), reason=str(error))
        self._facts = replace(self.facts, profile=str(path))
        self.plan_with(profile.predictor)
        seconds = round(self._clock.now() - began, 1)
        _log.info("machine_measured", iterations=len(records), seconds=seconds, profile=str(path))

    def _bounded(self, scheduler: SchedulerSettings) -> SchedulerSettings:
        """Return settings as the scheduler bounds them, too."""
        assert self._llm is not None, "the engine is ready"
        bounds = self._llm.vllm_config.scheduler_config
        return bounded(scheduler, most_tokens=bounds.max_num_batched_tokens, most_sequences=bounds.max_num_seqs)

    def _load_model(self) -> AsyncLLM:
        """Return the engine of vLLM; blocks until the model is loaded."""
        assert self._channel is not None, "there is a channel before a model"
        config = engine_config(self._settings.model, self._settings.arguments)
        self._key = profile_key(config)
        if not self._is_measured and (stored := stored_profile(self._key)) is not None:
            self._profile_name, self._is_measured = str(stored), True
        config.additional_config |= setup_document(
            self._settings.scheduler,
            find_profile(self._profile_name),
            reports=self._channel.reports,
            orders=self._channel.orders,
        )
        try:
            return AsyncLLM.from_vllm_config(config, disable_log_stats=True)
        # Raised in another process, and told here as one of these.
        except (OSError, RuntimeError, ValueError, VLLMError) as error:
            raise EngineStartError(
                f"engine.model {self._settings.model!r} was not loaded: {' '.join(str(error).split())[:600]}"
            ) from error

    async def _read(self, request: EngineRequest, answer: VllmAnswer) -> None:
        """Read an answer of vLLM into its stream, at the pace at which it comes."""
        request_id, stream = request.request.request_id, answer.stream
        assert self._llm is not None, "the engine is ready"
        try:
            sampling = sampling_params(request, self._advised)
            prompt = TokensPrompt(prompt_token_ids=[*request.prompt_token_ids, *request.emitted_token_ids])
            async for output in self._llm.generate(prompt, sampling, request_id):
                answer.put(output, now=self._clock.now())
        except EngineDeadError:
            stream.fail(EngineDiedError("vLLM's engine core has ended by itself"))
        except (VLLMClientError, ValueError) as error:
            stream.fail(RequestRefusedError(f"vLLM refuses the request: {' '.join(str(error).split())}"))
        # Everything else that happens to a request is that request's alone; vLLM makes one error of it.
        except VLLMError as error:
            _log.exception("request_failed", request=request_id)
            stream.fail(EngineError(f"vLLM failed at the request: {type(error).__name__}"))

    def _take(self, report: Report) -> None:
        match report:
            case IterationRecord():
                self._sink(report)
            case EngineLoad():
                self._load = report
            case RelegatedName(name=name, before_first_token=before_first_token):
                if (answer := self._answers.get(name)) is not None:
                    is_first = before_first_token and not answer.num_before
                    answer.stream.notify(Relegated(before_first_token=is_first))

    async def _close(self) -> None:
        """Let vLLM's processes end, and leave nothing behind."""
        if self._following is not None:
            self._following.cancel()
        if self._llm is not None:
            await asyncio.shield(asyncio.to_thread(self._llm.shutdown))
        if self._channel is not None:
            self._channel.close()
        if self._folder is not None:
            with suppress(OSError):
                shutil.rmtree(self._folder)
