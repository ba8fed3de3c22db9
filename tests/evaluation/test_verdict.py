import pytest

from skin_pipeline.evaluation.verdict import judge_training


def curve(held_out, learnt=None, **others):
    """Return validations every 100 steps."""
    columns = {"validation_loss": held_out, **({"learnt_loss": learnt} if learnt else {}), **others}
    rows = zip(*columns.values(), strict=True)
    return [{"step": 100 * i, **dict(zip(columns, row, strict=True))} for i, row in enumerate(rows)]


IMPROVING = [1.0, 0.8, 0.7, 0.62, 0.56, 0.52, 0.49]
FLAT = [1.0, 0.6, 0.5, 0.501, 0.499, 0.5, 0.4995]
RISING = [1.0, 0.6, 0.5, 0.51, 0.52, 0.53, 0.54]


@pytest.mark.parametrize(
    ("rows", "name", "best_step"),
    [
        (curve(IMPROVING, IMPROVING), "still improving", 600),
        (curve(FLAT, FLAT), "flat", 400),
        (curve(RISING, [1.0, 0.6, 0.48, 0.46, 0.44, 0.42, 0.40]), "overfitting", 200),
        (curve(RISING, [1.0, 0.6, 0.4, 0.3, 0.2, 0.1, 0.05]), "memorising", 200),
        (curve(RISING, [1.0, 0.6, 0.5, 0.52, 0.54, 0.55, 0.56]), "getting worse", 200),
        (curve(RISING), "getting worse", 200),
        (curve(IMPROVING[:2]), "too early", 100),
        ([], "too early", None),
    ],
)
def test_each_kind_of_curve_gets_its_verdict(rows, name, best_step):
    verdict = judge_training(rows)
    assert (verdict.name, verdict.best_step) == (name, best_step)
    assert verdict.advice in str(verdict)


def test_a_change_within_the_tolerance_is_none():
    assert judge_training(curve([1.0, 0.5, 0.5, 0.5 * 1.0099])).name == "flat"
    assert judge_training(curve([1.0, 0.5, 0.5, 0.5 * 1.0101])).name == "getting worse"


def test_adherence_counts_where_the_loss_is_flat():
    rising = [0.3, 0.3, 0.31, 0.32, 0.33, 0.5, 0.7]
    verdict = judge_training(curve(FLAT, FLAT, drawn_edge_f1=rising))
    assert verdict.name == "still improving"
    assert "0.370 (F1) since step 400" in verdict.because
    assert judge_training(curve(FLAT, FLAT, drawn_edge_f1=[0.7] * 7)).name == "flat"


def test_control_that_is_lost_counts_though_the_loss_falls():
    """As measured on sheets that share one conditioning image."""
    rows = curve([0.758, 0.668, 0.656], [0.816, 0.625, 0.609], drawn_edge_f1=[0.90, 0.38, 0.36])
    verdict = judge_training(rows)
    assert (verdict.name, verdict.best_step) == ("losing control", 0)
    assert "by 0.36 (F1), where they did by 0.90 at step 0" in verdict.because
    assert judge_training(rows[:2]).name == "losing control"  # that takes no three validations
    regained = curve([0.758, 0.668, 0.656], drawn_edge_f1=[0.90, 0.38, 0.81])
    assert judge_training(regained).name == "still improving"
    assert judge_training(curve([0.7, 0.6, 0.5], drawn_edge_f1=[None] * 3)).name == "still improving"


def test_a_change_that_the_stretches_do_not_agree_on_is_none():
    """As measured: three stretches of the noise schedule fall or stay, one rises."""
    first = {"validation_loss_t0000_0499": 0.62, "validation_loss_t0500_0999": 0.32}
    rows = [
        {"step": 100 * i, "validation_loss": loss, "learnt_loss": 0.4, **first}
        for i, loss in enumerate((0.47, 0.475, 0.48))
    ]
    split = {"validation_loss_t0000_0499": 0.61, "validation_loss_t0500_0999": 0.35}
    assert judge_training([*rows[:2], {**rows[2], **split}]).name == "flat"
    agreed = {"validation_loss_t0000_0499": 0.63, "validation_loss_t0500_0999": 0.33}
    assert judge_training([*rows[:2], {**rows[2], **agreed}]).name == "getting worse"


def test_a_gap_that_was_there_at_the_start_is_no_memorising():
    """Held-out skins may simply be harder."""
    learnt = [value / 2 for value in [1.0, 0.6, 0.48, 0.46, 0.44, 0.42, 0.40]]
    assert judge_training(curve(RISING, learnt)).name == "overfitting"


def test_validations_need_not_be_evenly_spaced_and_other_rows_are_left_aside():
    rows = curve(FLAT, FLAT)
    rows.insert(3, {"step": 250, "kind": "train", "loss": 9.0})
    assert judge_training(rows) == judge_training(curve(FLAT, FLAT))


COPY = "'a' was drawn as training picture 'b' (distance 2.1; copies lie below 13.5)"


def test_copies_of_training_pictures_are_memorising_whatever_the_losses_are():
    rows = curve(IMPROVING, IMPROVING, drawn_copied=[0.0] * 6 + [1.0], drawn_copies=[[]] * 6 + [[COPY] * 2])
    verdict = judge_training(rows)
    assert (verdict.name, verdict.best_step) == ("memorising", 600)
    assert f"100% of the pictures drawn at step 600 are training pictures over again: {COPY}, and 1" in str(
        verdict
    )
    assert judge_training(rows[-1:]).name == "memorising"  # that takes no three validations


def test_half_of_the_pictures_or_earlier_ones_are_not_enough():
    half = curve(FLAT, FLAT, drawn_copied=[0.5] * 7, drawn_copies=[[COPY]] * 7)
    assert judge_training(half).name == "flat"
    earlier = curve(FLAT, FLAT, drawn_copied=[1.0] * 6 + [0.0], drawn_copies=[[COPY]] * 6 + [[]])
    assert judge_training(earlier).name == "flat"
