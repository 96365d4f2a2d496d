"""Muon's steps are orthogonal, and two optimisers as one stop and go on as one."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from experiments.nano import muon  # noqa: E402


def test_a_step_is_orthogonal_whichever_way_a_matrix_lies() -> None:
    torch.manual_seed(0)
    for shape in ((16, 48), (48, 16), (16, 16)):
        p = torch.nn.Parameter(torch.zeros(shape))
        optimiser = muon.Muon([p], lr=1.0, weight_decay=0.0)
        p.grad = torch.randn(shape)
        optimiser.step()
        step = -p.detach() / (0.2 * max(shape) ** 0.5)
        u, _, vt = torch.linalg.svd(p.grad, full_matrices=False)
        singular = torch.linalg.svdvals(step)
        assert singular.min() > 0.3 and singular.max() < 1.3
        assert torch.nn.functional.cosine_similarity(step.flatten(), (u @ vt).flatten(), dim=0) > 0.95


def test_matrices_of_one_shape_are_as_each_alone() -> None:
    torch.manual_seed(1)
    shapes = [(8, 24), (24, 8), (8, 8), (8, 24)]
    start, grads = [torch.randn(s) for s in shapes], [[torch.randn(s) for s in shapes] for _ in range(3)]
    together, alone = ([torch.nn.Parameter(x.clone()) for x in start] for _ in range(2))
    one, many = muon.Muon(together, lr=0.1), [muon.Muon([p], lr=0.1) for p in alone]
    for grad in grads:
        for ps in (together, alone):
            for p, g in zip(ps, grad, strict=True):
                p.grad = g.clone()
        one.step()
        for m in many:
            m.step()
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(together, alone, strict=True))


class _Layer(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention, self.feed_forward = torch.nn.Linear(8, 8), torch.nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.feed_forward(self.attention(x)))


def _model() -> torch.nn.Module:
    torch.manual_seed(2)
    model = torch.nn.Module()
    model.embed = torch.nn.Embedding(10, 8)
    model.model = torch.nn.Module()
    model.model.layers = torch.nn.ModuleList([_Layer() for _ in range(2)])
    return model


def _updates(model: torch.nn.Module, optimiser: muon.Pair, schedule: torch.optim.lr_scheduler.LambdaLR, count: int) -> None:
    for n in range(count):
        x = model.embed(torch.tensor([n % 10]))
        for layer in model.model.layers:
            x = layer(x)
        optimiser.zero_grad()
        (x.sum() - 1.0).square().backward()
        optimiser.step()
        schedule.step()


def test_a_schedule_and_a_checkpoint_reach_both_optimisers() -> None:
    made = []
    for stops in (False, True):
        model = _model()
        optimiser = muon.optimiser(model, 0.02, 0.004, 0.05, 0.98)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1 / (step + 1))
        _updates(model, optimiser, schedule, 4)
        if stops:
            state, weights, place = optimiser.state_dict(), model.state_dict(), schedule.state_dict()
            model.load_state_dict(weights)
            optimiser = muon.optimiser(model, 0.02, 0.004, 0.05, 0.98)
            schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1 / (step + 1))
            optimiser.load_state_dict(state)
            schedule.load_state_dict(place)
        _updates(model, optimiser, schedule, 3)
        assert [round(g["lr"] / g["initial_lr"], 6) for g in optimiser.param_groups] == [round(1 / 8, 6)] * 3
        made.append(model.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(made[0].values(), made[1].values(), strict=True))


def test_muon_is_kept_off_the_circuit_for_copying() -> None:

    from experiments.nano import train
    from experiments.nano.recipe import Size

    class Words:
        pad_token_id, eos_token_id = 0, 1

        def __len__(self) -> int:
            return 64

        def get_vocab(self) -> dict[str, int]:
            return {}  # no phrases

    for copies in (True, False):
        model = train.make(Size(32, 4, 4, 64), Words(), 0, copies)
        optimiser = muon.optimiser(model, 0.02, 0.004, 0.05, 0.98, copies)
        names = {id(p): n for n, p in model.named_parameters()}
        given = [{names[id(p)] for group in part.param_groups for p in group["params"]} for part in optimiser.parts]
        assert given[0].isdisjoint(given[1]) and given[0] | given[1] == set(names.values())
        matrices = {n for n, p in model.named_parameters() if p.dim() == 2 and "layers" in n}
        assert given[0] == ({n for n in matrices if "feed_forward" in n and "layers.0." not in n} if copies else matrices)
