"""Convolutions of a JAX function in the layout that XLA's CPU compiler computes fast."""

from collections.abc import Callable
from typing import Any

from keras_contrastive._typing import Tensor

# Equations that call an inner program, as differentiated programs contain them.
_CALLS = ("jit", "pjit", "closed_call", "custom_jvp_call")


def with_fast_convolutions(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the function with channels last in each convolution, between transpositions.

    On CPUs, XLA has a fast kernel for this layout only, and a slow loop for others. It changes the
    layout of other convolutions, such as those of gradients with respect to kernels, but not inside
    a loop (its pass `ConvCanonicalization` visits the entry computation only). There, the gradient
    of a convolution took ten times as long.

    Convolutions inside of inner loops and of recomputed layers stay as they are.

    Args:
        function: A function of structures of tensors that is not differentiated. Differentiate
            inside, as derivatives contain convolutions of other layouts.
    """
    import jax

    def changed(*inputs: Any) -> Any:
        program, shapes = jax.make_jaxpr(function, return_shape=True)(*inputs)
        outputs = _evaluate(program.jaxpr, program.consts, jax.tree.leaves(inputs))
        return jax.tree.unflatten(jax.tree.structure(shapes), outputs)

    return changed


def _evaluate(program: Any, constants: Any, inputs: Any) -> list[Tensor]:
    """Computes the outputs of a `Jaxpr`."""
    from jax.extend import core

    values = dict(zip(program.constvars, constants, strict=True))
    values.update(zip(program.invars, inputs, strict=True))

    def value_of(atom: Any) -> Tensor:
        return atom.val if isinstance(atom, core.Literal) else values[atom]

    for equation in program.eqns:
        operands = [value_of(atom) for atom in equation.invars]
        name, parameters = equation.primitive.name, equation.params
        if name == "conv_general_dilated":
            outputs = [_convolve(equation.primitive, *operands, **parameters)]
        elif name in _CALLS:
            inner = parameters.get("jaxpr", parameters.get("call_jaxpr"))
            outputs = _evaluate(inner.jaxpr, inner.consts, operands)
        else:
            variables = [atom for atom in equation.invars if not isinstance(atom, core.Literal)]
            alone = program.replace(
                constvars=[], invars=variables, outvars=equation.outvars, eqns=[equation]
            )
            call = core.jaxpr_as_fun(core.ClosedJaxpr(alone, []))
            outputs = call(*(values[variable] for variable in variables))
        values.update(zip(equation.outvars, outputs, strict=True))
    return [value_of(atom) for atom in program.outvars]


def _convolve(
    primitive: Any, images: Tensor, kernel: Tensor, *, dimension_numbers: Any, **parameters: Any
) -> Tensor:
    """Convolves with channels last: transposes the operands, and the result back."""
    from jax import lax

    batch, channels, *sides = dimension_numbers.lhs_spec
    filters, kernel_channels, *kernel_sides = dimension_numbers.rhs_spec
    new_batch, new_channels, *new_sides = dimension_numbers.out_spec
    last, spatial = len(sides) + 1, range(1, len(sides) + 1)
    result = primitive.bind(
        lax.transpose(images, (batch, *sides, channels)),
        lax.transpose(kernel, (*kernel_sides, kernel_channels, filters)),
        dimension_numbers=lax.ConvDimensionNumbers(
            (0, last, *spatial), (last, last - 1, *range(len(sides))), (0, last, *spatial)
        ),
        **parameters,
    )
    places = (new_batch, *new_sides, new_channels)
    return lax.transpose(result, tuple(places.index(axis) for axis in range(last + 1)))
