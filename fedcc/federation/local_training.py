"""What a plan means at one site: where the model begins, and which sum of the rows is private."""

import numpy as np
from numpy.typing import NDArray

from fedcc.errors import PolicyViolation
from fedcc.federation.settings import RunPlan
from fedcc.models.heads import build_module, initial_parameters
from fedcc.tasks.task import Examples, FeatureRecipe
from fedcc.training.dp_sgd import ClassSums, ClippedGradients, PrivateSum


def starting_point(plan: RunPlan, recipe: FeatureRecipe) -> NDArray[np.float64]:
    """Return the public parameters before round 1, shape `(n_params,)`.

    Raises:
        PolicyViolation: if the plan wants label names and the features have none.
    """
    if plan.prior == "none":
        return initial_parameters(plan.shape, plan.public_seed)
    labels = recipe.label_features
    if labels is None or labels.shape != (plan.n_outputs, plan.n_features):
        raise PolicyViolation("the plan begins at label names, which these features do not have.")
    return initial_parameters(plan.shape, plan.public_seed, plan.prior_scale * labels)


def private_sum(plan: RunPlan, examples: Examples) -> PrivateSum:
    """Return the clipped sum that the plan's step rule asks for.

    Raises:
        PolicyViolation: if a label is not one of the plan's classes, or the plan draws batches for
            a step that has none.
    """
    n_classes = max(2, plan.n_outputs)
    if len(examples) and not 0 <= examples.labels.min() <= examples.labels.max() < n_classes:
        raise PolicyViolation("a label code lies outside the plan's classes.")
    if plan.step == "class_means":
        if plan.sample_rate < 1:
            raise PolicyViolation("the plan draws batches for class means, which hold every row.")
        return ClassSums(examples, plan.n_outputs, plan.max_grad_norm)
    return ClippedGradients(build_module(plan.shape), examples, plan.max_grad_norm)
