"""What a plan means at one site: where the model begins, and which sum of the rows is private."""

import numpy as np
from numpy.typing import NDArray

from fedcc.errors import PolicyViolation
from fedcc.federation.run_plan import RunPlan
from fedcc.models.heads import build_module
from fedcc.models.shapes import initial_parameters
from fedcc.tasks.task import Examples, FeatureRecipe
from fedcc.training.customer_sums import CustomerClassSums, CustomerGradients
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
    """Return the clipped sum that the plan's step rule asks for, of the plan's unit.

    Raises:
        PolicyViolation: if a label is not one of the plan's classes, the plan draws batches for a
            step that has none, or the rows are not grouped by customer, or hold more of one
            customer, than the plan says.
    """
    n_classes = max(2, plan.n_outputs)
    if len(examples) and not 0 <= examples.labels.min() <= examples.labels.max() < n_classes:
        raise PolicyViolation("a label code lies outside the plan's classes.")
    if plan.unit == "customer":
        _check_customers(plan, examples)
        if plan.max_interactions > 1:
            return _customer_sum(plan, examples)
    # A record is a customer with one row, to the bit.
    if plan.step == "class_means":
        if plan.sample_rate < 1:
            raise PolicyViolation("the plan draws batches for class means, which hold every row.")
        return ClassSums(examples, plan.n_outputs, plan.site_clip)
    return ClippedGradients(build_module(plan.shape), examples, plan.site_clip)


def _check_customers(plan: RunPlan, examples: Examples) -> None:
    """Refuse rows that are not prepared for a plan whose unit is the customer."""
    if examples.customers is None:
        raise PolicyViolation("the plan's unit is the customer, and the rows name no customers.")
    most = np.unique(examples.customers, return_counts=True)[1].max(initial=0)
    if most > plan.max_interactions:
        raise PolicyViolation("the rows hold more of one customer than the plan's max_interactions")


def _customer_sum(plan: RunPlan, examples: Examples) -> PrivateSum:
    """Return the sum in which all rows of a customer are one clipped contribution."""
    customers = np.asarray(examples.customers)
    if plan.step == "class_means":
        if plan.sample_rate < 1:
            raise PolicyViolation("the plan draws batches for class means, which hold every row.")
        return CustomerClassSums(examples, customers, plan.n_outputs, plan.site_clip)
    return CustomerGradients(build_module(plan.shape), examples, customers, plan.site_clip)
