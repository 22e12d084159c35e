"""Hyperparameters of a sweep's trials as TensorBoard's own HParams plugin shows them."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams import get_experiment, list_session_groups, metadata
from tensorboard.plugins.hparams.api_pb2 import ColParams, GetExperimentRequest, ListSessionGroupsRequest, Status
from tensorboard.plugins.hparams.backend_context import Context

from genray.cluster.place import SameFolder
from genray.cluster.work import Final, Means, Shared, Task, do
from genray.config import Experiment
from genray.data.spec import Dataset
from genray.evaluation.judge import make_judge
from genray.extractors.trained import extractor_for
from genray.overrides import flatten
from genray.runs import Run, open_run
from genray.train.distributed import Distributed

Shown = tuple[Any, list[Any]]  # the plugin's own messages, generated without types

METRICS = ("kernel", "elbo")
STOPPED = "vae/trial_0001"
TRIALS = {  # the GAN's comes first in the folder
    "gan/trial_0000": {"model": {"name": "gan", "hidden": 9, "loss": "hinge"}},
    "vae/trial_0000": {"model": {"name": "vae", "hidden": 8}, "optimizer": {"learning_rate": 1e-3}},
    STOPPED: {"model": {"name": "vae", "hidden": 16}, "optimizer": {"learning_rate": 4e-3}},
}


@pytest.fixture(scope="module")
def sweep(digits: Dataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """Trials of two models, as every process of a sweep does them, one stopped after the first epoch of two."""
    folder = tmp_path_factory.mktemp("sweep")
    judge = make_judge(extractor_for(digits.training_data), digits.validation, METRICS, 64)
    means = Means(Shared(SameFolder(folder), digits.training_data, judge), _no_finalist, Distributed.single())
    for name, values in TRIALS.items():
        experiment = Experiment.parse(values | {"epochs": 2, "evaluate_every": 1, "metrics": METRICS})
        do(Task(name, experiment, False), means, lambda row, name=name: name != STOPPED)
    return {name: open_run(folder / name) for name in TRIALS}


def _no_finalist() -> Final:
    pytest.fail("no finalist")


@pytest.fixture(scope="module")
def shown(sweep: dict[str, Run]) -> Shown:
    """What `tensorboard --logdir` of the sweep sends to its HParams tab: columns, and a group of each trial."""
    folder = str(next(iter(sweep.values())).path.parents[1])
    multiplexer = EventMultiplexer().AddRunsFromDirectory(folder).Reload()
    context, asked = Context(TBContext(data_provider=MultiplexerDataProvider(multiplexer, folder))), RequestContext()
    head = get_experiment.Handler(asked, context, "", GetExperimentRequest()).run()
    request = ListSessionGroupsRequest(start_index=0, slice_size=100, allowed_statuses=Status.values())
    request.col_params.extend(ColParams(hparam=info.name) for info in head.hparam_infos)
    request.col_params.extend(ColParams(metric=info.name) for info in head.metric_infos)
    return head, list(list_session_groups.Handler(asked, context, "", request).run().session_groups)


def test_columns_are_of_all_models(sweep: dict[str, Run], shown: Shown) -> None:
    head, _ = shown
    expected = set().union(*(flatten(run.experiment.plain()) for run in sweep.values()))
    assert {"model.loss", "model.likelihood"} <= expected  # of a GAN alone, and of a VAE alone
    assert {info.name for info in head.hparam_infos} == expected
    differ = {info.name for info in head.hparam_infos if info.differs}  # those that TensorBoard shows at first
    assert {"model.name", "model.hidden", "optimizer.learning_rate"} <= differ
    assert "epochs" not in differ
    assert {"validation/kernel", "validation/elbo"} <= {info.name.tag for info in head.metric_infos}


def test_a_trial_is_a_row_with_its_hyperparameters(sweep: dict[str, Run], shown: Shown) -> None:
    by_name = {group.sessions[0].name: MessageToDict(group)["hparams"] for group in shown[1]}
    assert by_name.keys() == sweep.keys()
    for name, run in sweep.items():
        for key, value in flatten(run.experiment.plain()).items():
            assert by_name[name][key] == (value if isinstance(value, bool | int | float | str) else str(value)), key
    assert by_name[STOPPED]["optimizer.learning_rate"] == 4e-3


def test_its_metrics_are_those_of_its_last_row(sweep: dict[str, Run], shown: Shown) -> None:
    """Also of a trial that was stopped; none where a model has no such metric."""
    for group in shown[1]:
        name = group.sessions[0].name
        last = sweep[name].history[-1]
        assert last["epoch"] == (1 if name == STOPPED else 2)
        values = {each.name.tag: (each.value, each.training_step) for each in group.metric_values}
        for key in ("validation/kernel", "validation/elbo"):
            assert (key in values) == (key in last)
            if key in last:
                assert values[key] == (pytest.approx(last[key], rel=1e-6), last["epoch"])


def test_the_events_hold_the_plugins_own_message(sweep: dict[str, Run]) -> None:
    """By TensorBoard's reader of one run, and the plugin's protocol buffers."""
    for name, run in sweep.items():
        content = EventAccumulator(str(run.path)).Reload().PluginTagToContent(metadata.PLUGIN_NAME)
        start = metadata.parse_session_start_info_plugin_data(content[metadata.SESSION_START_INFO_TAG])
        assert start.hparams["model.hidden"].number_value == TRIALS[name]["model"]["hidden"]
