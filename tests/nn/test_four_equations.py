"""The four equations of backpropagation, for networks of random shape, against the gradients on the nodes.

delta_L = dC/da * σ'(z_L)                    dC/db_j  = delta_j
delta_l = (W_{l+1}^T delta_{l+1}) * σ'(z_l)  dC/dw_jk = a_k delta_j
"""

import random

import pytest
from hypothesis import given, settings, strategies as st

from autograd import OPS
from nn import MLP, half_squared_error


def slope(activation, z):
    return OPS[activation].derivatives(OPS[activation](z), (z,))[0]


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 5), min_size=2, max_size=5),
    activation=st.sampled_from(["sigmoid", "tanh", "relu", "softplus"]),
    seed=st.integers(0, 10**6),
)
def test_the_four_equations(sizes, activation, seed):
    rng = random.Random(seed)
    nin, *nouts = sizes
    model = MLP(nin, nouts, activation=activation, output="sigmoid", seed=seed)
    for p in model.parameters():
        p.data = rng.uniform(-1, 1)
    a = [[rng.uniform(-1, 1) for _ in range(nin)]]  # the inputs, then each layer's outputs
    outputs = []
    x = a[0]
    for layer in model.layers:
        x = layer(x)
        outputs.append(x if isinstance(x, list) else [x])
        a.append([out.data for out in outputs[-1]])
    targets = [rng.uniform(0, 1) for _ in outputs[-1]]
    half_squared_error(outputs[-1], targets).backward()

    upstream = [y - t for y, t in zip(a[-1], targets, strict=True)]  # dC/da
    for k in reversed(range(len(nouts))):
        z = [out.parents[0] for out in outputs[k]]
        sigma = "sigmoid" if k == len(nouts) - 1 else activation
        delta = [u * slope(sigma, v.data) for u, v in zip(upstream, z, strict=True)]
        neurons = model.layers[k].neurons
        assert [v.grad for v in z] == pytest.approx(delta, rel=1e-12, abs=1e-15)
        assert [n.b.grad for n in neurons] == pytest.approx(delta, rel=1e-12, abs=1e-15)
        for n, d in zip(neurons, delta, strict=True):
            assert [w.grad for w in n.w] == pytest.approx([x * d for x in a[k]], rel=1e-12, abs=1e-15)
        upstream = [sum(n.w[i].data * d for n, d in zip(neurons, delta, strict=True)) for i in range(len(a[k]))]
