"""The camera's own shake, from reference regions on something still, taken out of the others.

What the references show is carried to every other region by the smallest model that their number
determines: a translation from one, a similarity from two (turn and scale included), an affine map from
three or more that are not in one line. All are linear in the references' displacements, so their errors
propagate exactly; regions far outside the references, or references close together, cost most.

Nothing tells from outside whether a reference stands still. A camera that shakes shifts and turns the
picture; what references show beyond that, beyond their own errors and a small share of the shift
(lenses distort) is a disagreement. One reference cannot disagree, and two cannot be told from a turn when
one of them moves across the line between them: three, spread around what is measured, are worth their
while. References that part slowly, with the warmth of lens and mount, do not spoil vibration: that is
followed over minutes, and stands in the standard errors of what is compensated.

A reference that is lost for a while is left out, where the others still determine the same model.

When the references cannot be trusted there is a verdict, and no compensated displacement.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from runtime.displacement.box import Floats

Model = Literal["translation", "similarity", "affine"]

LARGEST_SHAKE_PX = 10.0
"""References that moved farther show another camera position, not shake."""
VERDICT = "shake:"
"""How the reasons begin that come from here."""

_MOST_ERRORS = 4.5  # standard errors beyond which references disagree
_DISTORTION = 0.03  # of the shift may differ between references
_FOLLOWED_NS = 300e9  # time constant of slow disagreement
_MOST_SLOW_PX = 0.5
_HELD_NS = 1_000_000_000  # that disagreeing references are not believed again
_FEWEST: dict[Model, int] = {"translation": 1, "similarity": 2, "affine": 3}  # references
_LEAST_SPREAD = 0.05  # of three references' width that must be in their height, or all are in line


@dataclass(frozen=True, slots=True)
class Shake:
    """What the camera's shake adds at each of the other regions, and its variances; (regions, 2)."""

    moved_px: Floats
    """From the references' zeros."""
    variance_px2: Floats
    """With the references' slow disagreement."""
    noise_px2: Floats
    """Of one frame's measurement alone."""


class ShakeCompensation:
    """Carries displacements of references to other places, and judges them.

    ``references_px`` and ``places_px`` are (n, 2) centres in the picture. Frames come one after the
    other; memory does not grow.
    """

    def __init__(self, names: Sequence[str], references_px: Floats, places_px: Floats) -> None:
        self._names = tuple(names)
        centre = references_px.mean(axis=0)
        radius_px = float(np.abs(references_px - centre).max()) or 1.0
        at, to = (references_px - centre) / radius_px, (places_px - centre) / radius_px
        self.model = _model_for(at)
        self._at, self._to = at, _design(self.model, to)
        self._design, self._rigid_design = _design(self.model, at), _design("rigid", at)
        self._present = np.ones(len(names), bool)
        # (2 places, 2 references): x and y of each place from x and y of each reference.
        self._carry, self._rigid = self._maps()
        self._carry_of_all = self._carry
        self._slow_px: Floats = np.zeros((len(names), 2))
        self._newest_ns: int | None = None
        self._held: tuple[int, str] | None = None  # when disagreement was seen last, and what

    def shake(
        self, moved_px: Floats, noise_px2: Floats, variance_px2: Floats, zero_px2: Floats
    ) -> Shake:
        """From each reference's displacement from its zero, its variances, and that of its zero.

        All (references, 2). A reference that the last ``verdict`` left out keeps its share in where
        everything is counted from, so that nothing steps when it goes or comes: what is carried by
        those left is how far they moved beyond their slow disagreement.
        """
        squares, of_all = np.square(self._carry), np.square(self._carry_of_all)
        variance_px2 = (
            squares @ self._shown(variance_px2) + of_all @ np.square(self._slow_px).ravel()
        )
        variance_px2 += np.square(self._carry - self._carry_of_all) @ zero_px2.ravel()
        carried_px = self._carry @ self._shown(moved_px - self._slow_px)
        return Shake(
            carried_px.reshape(-1, 2) + self.carried(self._slow_px),
            variance_px2.reshape(-1, 2),
            (squares @ self._shown(noise_px2)).reshape(-1, 2),
        )

    def carried(self, moved_px: Floats) -> Floats:
        """What displacements of all references mean at the other places, (places, 2)."""
        return (self._carry_of_all @ moved_px.ravel()).reshape(-1, 2)

    def verdict(
        self,
        t_ns: int,
        moved_px: Floats,
        variance_px2: Floats,
        problems: Sequence[str | None],
        learned: bool = True,
    ) -> str | None:
        """Why the references, (references, 2) from their zeros, cannot be trusted now; or None.

        ``learned``: whether all their zeros are; before, all of them are needed.
        """
        measured = np.isfinite(moved_px).all(axis=1)
        present = measured & np.array([problem is None for problem in problems])
        if not present.all() and not (learned and _determines(self.model, self._at[present])):
            lost = int(present.argmin())
            why = problems[lost] or "one axis is flat"
            return f'{VERDICT} reference region "{self._names[lost]}" is missing ({why})'
        if (present != self._present).any():
            self._present = present
            self._carry, self._rigid = self._maps()
        shown_px = self._shown(moved_px).reshape(-1, 2)
        far_px = np.hypot(*shown_px.T)
        if far_px.max() > LARGEST_SHAKE_PX:
            return (
                f'{VERDICT} reference region "{self._names[int(far_px.argmax())]}" moved by more '
                f"than {LARGEST_SHAKE_PX:g} px: the camera points elsewhere, or it is not still"
            )
        # Of those left alone, what their slow disagreement lets expect.
        fresh_px = self._parted(shown_px) - self._parted(self._shown(self._slow_px).reshape(-1, 2))
        allowed_px2 = variance_px2 + np.square(_DISTORTION * far_px.max())
        self._disagree(t_ns, fresh_px[present], allowed_px2[present])
        self._follow(t_ns, fresh_px)
        if self._held is not None and 0 <= t_ns - self._held[0] <= _HELD_NS:
            return self._held[1]
        return None

    def _maps(self) -> tuple[Floats, Floats]:
        """From the references that are present to the other places, and to where a shift and a turn
        would have them; 0 for those that are not."""
        shown = np.repeat(self._present, 2)
        carry = np.zeros((len(self._to), len(shown)))
        rigid = np.zeros((len(shown), len(shown)))
        carry[:, shown] = self._to @ np.linalg.pinv(self._design[shown])
        left = self._rigid_design[shown]
        rigid[np.ix_(shown, shown)] = left @ np.linalg.pinv(left)
        return carry, rigid

    def _shown(self, values: Floats) -> Floats:
        """Of the references that are present, flat; 0 for those that are not."""
        return np.where(self._present[:, None], values, 0.0).ravel()

    def _parted(self, moved_px: Floats) -> Floats:
        """What a shift and a turn do not explain."""
        return moved_px - (self._rigid @ moved_px.ravel()).reshape(-1, 2)

    def _disagree(self, t_ns: int, fresh_px: Floats, allowed_px2: Floats) -> None:
        """Of the references that are present."""
        fast = np.abs(fresh_px) / np.sqrt(allowed_px2) / _MOST_ERRORS
        slow = np.abs(self._slow_px[self._present]) / _MOST_SLOW_PX
        worst = np.maximum(fast, slow).max(axis=1)
        if worst.max() > 1:
            name = self._names[int(np.flatnonzero(self._present)[worst.argmax()])]
            self._held = (
                t_ns,
                (
                    f'{VERDICT} the reference regions disagree: "{name}" does not go with the others, '
                    "so not all of them are still"
                ),
            )

    def _follow(self, t_ns: int, fresh_px: Floats) -> None:
        passed_ns = 0 if self._newest_ns is None else max(t_ns - self._newest_ns, 0)
        self._newest_ns = t_ns
        self._slow_px += min(passed_ns / _FOLLOWED_NS, 1.0) * fresh_px


def _model_for(at: Floats) -> Model:
    models: tuple[Model, ...] = ("affine", "similarity")
    return next((model for model in models if _determines(model, at)), "translation")


def _determines(model: Model, at: Floats) -> bool:
    """Whether references at these places, (n, 2), are enough for the model."""
    if model != "affine" or len(at) < 3:
        return len(at) >= _FEWEST[model]
    spread = np.linalg.svd(at - at.mean(axis=0), compute_uv=False)
    return bool(spread[1] > _LEAST_SPREAD * spread[0])


def _design(model: Model | Literal["rigid"], at: Floats) -> Floats:
    """(2 n, parameters): how x and y at each place depend on the model's parameters.

    Rigid are shift and turn; a turn is small, so this too is linear.
    """
    x, y = at.T
    one, zero = np.ones_like(x), np.zeros_like(x)
    of_x = [one, zero]
    of_y = [zero, one]
    if model in ("rigid", "similarity"):
        of_x.append(-y)
        of_y.append(x)
    if model == "similarity":
        of_x.append(x)
        of_y.append(y)
    if model == "affine":
        of_x += [x, y, zero, zero]
        of_y += [zero, zero, x, y]
    design: Floats = np.stack([np.stack(of_x), np.stack(of_y)], axis=-1).transpose(1, 2, 0)
    return design.reshape(2 * len(x), -1)
