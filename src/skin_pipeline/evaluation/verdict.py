"""What the curves of a training say: is it still improving, flat, overfitting, losing control?

The losses judged are those of one fixed set of held-out skins, ``validation_loss``, and of as many skins that
are trained on, ``learnt_loss``: always at the same timesteps with the same noise, so they change by what was
learned and by nothing else. The training loss itself is not looked at, as its noise hides all of this.

The rule, in order. A change counts from :data:`TOLERANCE` on (1 % of the loss), and, of the held-out loss,
if it is larger than its own standard error over the stretches of the noise schedule that the loss is reported
for: where one stretch rises and the others fall, nothing can be said. *Lately* is from the validation at or
before two thirds of the steps to the last one.

1. More than half of the pictures drawn last, for held-out skins, are copies of training pictures
   (``drawn_copied``, where measured): ``memorising``, whatever the losses are. A copy has the shapes of a
   training picture and lies nearer to it than half of the distance that held-out real pictures have to
   theirs, the median of them; see :mod:`skin_pipeline.evaluation.memorisation`.
2. The adherence of drawn pictures to their conditioning images (``drawn_edge_f1``, where measured) lies at
   last more than :data:`CONTROL_FALL` below its best: ``losing control``, whatever the losses are. A
   ControlNet whose conditioning images do not show what its pictures show, as where all have one image,
   unlearns to obey while the loss falls, as that falls by learning what the pictures have in common.
3. Fewer than :data:`LEAST_VALIDATIONS` validations: ``too early``.
4. The held-out loss lies above its lowest value by a change that counts, and since then the loss of learnt
   skins has fallen by more than the tolerance: what is learned no longer holds for other skins. If the
   held-out loss over that of learnt skins has grown to :data:`MEMORISING_GAP` times what it was at the start,
   it is ``memorising``; otherwise ``overfitting``.
5. The held-out loss lies above its lowest value by a change that counts, and that of learnt skins has not
   fallen: ``getting worse``, for them too: the learning rate is too high, or the weights it started from knew
   better.
6. The held-out loss has lately fallen by a change that counts, or the adherence of drawn pictures has lately
   risen by more than :data:`ADHERENCE_STEP`: ``still improving``. ControlNets learn to obey suddenly, while
   the loss hardly moves.
7. Otherwise it is ``flat``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev
from typing import Any, Literal

TOLERANCE = 0.01
LEAST_VALIDATIONS = 3
MEMORISING_GAP = 1.5
ADHERENCE_STEP = 0.02
CONTROL_FALL = 0.1
"""Of F1: several times what a handful of pictures varies by between validations (0.01 to 0.05)."""
MOST = 0.5
_LATELY = 2 / 3
_STRETCH = "validation_loss_t"

VerdictName = Literal[
    "too early", "still improving", "flat", "overfitting", "memorising", "getting worse", "losing control"
]

_ADVICE: Mapping[VerdictName, str] = {
    "too early": "Train longer, or lower train.validation_steps.",
    "still improving": "Raise train.max_train_steps and run again as a new training.",
    "flat": "More steps will not help; more or other skins, or another learning rate, may.",
    "overfitting": "Stop at the best step, or train on more skins.",
    "memorising": "Stop earlier, or train on more skins; look at the nearest training pictures.",
    "losing control": (
        "Use conditioning images that show what is in the pictures (dataset.conditioning: per_skin, or glyph"
        " with glyphs.background: per_skin), or stop at the best step; kedro run --pipeline=evaluate compares"
        " with no control at all."
    ),
    "getting worse": "Lower train.learning_rate, or stop at the best step.",
}


@dataclass(frozen=True)
class Verdict:
    """What became of a training."""

    name: VerdictName
    because: str
    """The figures behind it, in a sentence."""
    best_step: int | None
    """The step with the lowest held-out loss; where control was lost, the one with the best adherence."""

    @property
    def advice(self) -> str:
        """What to do."""
        return _ADVICE[self.name]

    def __str__(self) -> str:
        """Return verdict, reason and advice."""
        return f"{self.name.capitalize()}: {self.because} {self.advice}"


def judge_training(rows: Sequence[Mapping[str, Any]]) -> Verdict:
    """Judge a training by its curves, by the rule above.

    Args:
        rows: One a validation in the order of steps, with ``step`` and ``validation_loss``, and as far as
            measured ``learnt_loss``, ``drawn_edge_f1``, ``drawn_copied`` and ``drawn_copies``. Rows with
            none of these are left aside.
    """
    curve = [row for row in rows if row.get("validation_loss") is not None]
    if copied := _copied(rows):
        return Verdict("memorising", copied, _best(curve)["step"] if curve else None)
    if lost := _lost_control(rows):
        return lost
    if len(curve) < LEAST_VALIDATIONS:
        because = f"there are {len(curve)} validations, a verdict takes {LEAST_VALIDATIONS}."
        return Verdict("too early", because, _best(curve)["step"] if curve else None)
    best, last = _best(curve), curve[-1]
    rise = _change(best, last, "validation_loss")
    if rise > TOLERANCE and _is_beyond_chance(best, last):
        return _judge_rise(curve, best, rise)
    return _judge_lately(curve, best)


def _judge_lately(curve: Sequence[Mapping[str, Any]], best: Mapping[str, Any]) -> Verdict:
    """Tell whether anything has lately got better."""
    since, last = _lately(curve), curve[-1]
    fall = -_change(since, last, "validation_loss")
    if fall > TOLERANCE and _is_beyond_chance(since, last):
        because = f"the held-out loss fell by {fall:.1%} since step {since['step']}."
        return Verdict("still improving", because, best["step"])
    gain = (last.get("drawn_edge_f1") or 0.0) - (since.get("drawn_edge_f1") or 0.0)
    if gain > ADHERENCE_STEP and since.get("drawn_edge_f1") is not None:
        because = (
            f"drawn pictures follow their conditioning images better by {gain:.3f} (F1) since step"
            f" {since['step']}, though the held-out loss changed by {-fall:+.1%} only."
        )
        return Verdict("still improving", because, best["step"])
    because = f"the held-out loss changed by {-fall:+.1%} since step {since['step']}."
    return Verdict("flat", because, best["step"])


def _copied(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """Say that most of the pictures drawn last are copies of training pictures, if they are."""
    last = next((row for row in reversed(rows) if row.get("drawn_copied") is not None), None)
    if last is None or last["drawn_copied"] <= MOST:
        return None
    copies = last["drawn_copies"]
    others = f", and {len(copies) - 1} more" if len(copies) > 1 else ""
    return (
        f"{last['drawn_copied']:.0%} of the pictures drawn at step {last['step']} are training pictures over"
        f" again: {copies[0]}{others}."
    )


def _lost_control(rows: Sequence[Mapping[str, Any]]) -> Verdict | None:
    """Judge that drawn pictures follow their conditioning images much worse than they once did, if so."""
    drawn = [row for row in rows if row.get("drawn_edge_f1") is not None]
    if not drawn:
        return None
    best, last = max(drawn, key=lambda row: float(row["drawn_edge_f1"])), drawn[-1]
    if best["drawn_edge_f1"] - last["drawn_edge_f1"] <= CONTROL_FALL:
        return None
    because = (
        f"drawn pictures follow their conditioning images by {last['drawn_edge_f1']:.2f} (F1), where they did"
        f" by {best['drawn_edge_f1']:.2f} at step {best['step']}."
    )
    return Verdict("losing control", because, best["step"])


def _judge_rise(curve: Sequence[Mapping[str, Any]], best: Mapping[str, Any], rise: float) -> Verdict:
    """Tell why the held-out loss has risen since its best."""
    first, last = curve[0], curve[-1]
    risen = f"the held-out loss has risen by {rise:.1%} since step {best['step']}"
    learnt = None if _lacks(best, last) else _change(best, last, "learnt_loss")
    if learnt is None or learnt >= -TOLERANCE:
        beside = "" if learnt is None else f", and that of learnt skins changed by {learnt:+.1%}"
        return Verdict("getting worse", f"{risen}{beside}.", best["step"])
    fallen = f"{risen}, while that of learnt skins fell by {-learnt:.1%}"
    growth = 1.0 if _lacks(first) else _gap(last) / _gap(first)
    if growth >= MEMORISING_GAP:
        return Verdict(
            "memorising", f"{fallen}: {growth:.2f} times as far apart as at the start.", best["step"]
        )
    return Verdict("overfitting", f"{fallen}.", best["step"])


def _best(curve: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    return min(curve, key=lambda row: float(row["validation_loss"]))


def _lately(curve: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the last validation at or before two thirds of the steps."""
    last = curve[-1]["step"]
    return [row for row in curve[:-1] if row["step"] <= _LATELY * last or row is curve[0]][-1]


def _change(since: Mapping[str, Any], last: Mapping[str, Any], name: str) -> float:
    """Return by what share of itself a value has changed."""
    return float(last[name] / since[name] - 1)


def _is_beyond_chance(since: Mapping[str, Any], last: Mapping[str, Any]) -> bool:
    """Tell whether the stretches of the noise schedule agree on a change of the held-out loss."""
    names = [name for name in last if name.startswith(_STRETCH) and name in since]
    if len(names) < 2:
        return True
    changes = [float(last[name] - since[name]) for name in names]
    return abs(fmean(changes)) > stdev(changes) / sqrt(len(changes))


def _gap(row: Mapping[str, Any]) -> float:
    return float(row["validation_loss"] / row["learnt_loss"])


def _lacks(*rows: Mapping[str, Any]) -> bool:
    return any(row.get("learnt_loss") is None for row in rows)
