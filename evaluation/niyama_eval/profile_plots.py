"""Pictures of latency profiles: iteration times and prompt throughput against the size of chunks."""

from collections.abc import Sequence
from itertools import islice

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from niyama_core.profiles import LatencyProfile

from niyama_eval.plot_look import INK, blank_figure, looks, plain_words, put_head
from niyama_eval.profile_curves import ChunkPoint, Company, chunk_curve

__all__ = ["profile_plot"]

_STEP_TOKENS = 16


def profile_plot(profile: LatencyProfile, companies: Sequence[Company], *, most_tokens: int = 4096) -> Figure:
    """Return the iteration time and the throughput against the chunk, a colour for each company of decodes.

    Lines are what the predictor expects, dots are the law.
    """
    figure, panels = blank_figure(profile.source, size=(11.0, 4.4), num_columns=2, share_y=False)
    sizes = range(0, most_tokens + 1, _STEP_TOKENS)
    for company, (colour, _) in zip(companies, islice(looks(), len(companies)), strict=True):
        points = chunk_curve(profile, company, chunks=sizes)
        _draw_times(panels[0], points, colour=colour, label=f"{company.num_decodes} decodes")
        _draw_rates(panels[1], points, colour=colour)
    panels[0].plot([], [], color=INK, label="predictor")
    panels[0].plot([], [], color=INK, marker="o", markersize=3, linestyle="", label="law")
    panels[0].set_ylabel("iteration (ms)")
    panels[1].set_ylabel("prompt tokens per second")
    panels[1].yaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:,.0f}"))
    for axes in panels:
        axes.set_xlabel("prompt tokens in the iteration")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda tokens, _: f"{tokens:,.0f}"))
        axes.set_xlim(0, most_tokens)
        axes.set_ylim(0, None)
    put_head(figure, panels[0], title=f"{profile.name}: {plain_words(profile.model)} on {plain_words(profile.gpu)}")
    return figure


def _draw_times(axes: Axes, points: Sequence[ChunkPoint], *, colour: str, label: str) -> None:
    xs = [point.chunk_tokens for point in points]
    axes.plot(xs, [1e3 * point.predicted_seconds for point in points], color=colour, linewidth=1.6, label=label)
    law = [1e3 * point.law_seconds for point in points]
    axes.plot(xs[::8], law[::8], color=colour, marker="o", markersize=3, linestyle="")


def _draw_rates(axes: Axes, points: Sequence[ChunkPoint], *, colour: str) -> None:
    xs = [point.chunk_tokens for point in points]
    predicted = [point.chunk_tokens / point.predicted_seconds for point in points]
    axes.plot(xs, predicted, color=colour, linewidth=1.6)
    law = [point.prefill_tokens_per_second for point in points]
    axes.plot(xs[::8], law[::8], color=colour, marker="o", markersize=3, linestyle="")
