"""What follows an epoch: scores on the validation split, rows, pictures and checkpoints."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from genray import checkpoint
from genray.data.spec import TrainingData
from genray.errors import Fault
from genray.evaluation.attempt import SAMPLES, Failures, left_out, say_left_out
from genray.models.base import GenerativeModel
from genray.pictures import catalogue
from genray.runs import Row, Run
from genray.samplers import PRIOR, Sampler, make_sampler, samplers_of
from genray.train.log import RunLog
from genray.train.trainer import Trainer

if TYPE_CHECKING:
    from genray.evaluation.judge import Judge


def is_due(trainer: Trainer, every: int) -> bool:
    return trainer.epoch % every == 0 or trainer.finished


class Evaluator:
    """After an epoch, on rank 0: scores on the validation split, rows, grids and checkpoints."""

    def __init__(
        self,
        trainer: Trainer,
        run: Run,
        log: RunLog,
        judge: Judge | None,
        data: TrainingData,
        saved: Callable[[], None] = lambda: None,
    ) -> None:
        # weakly: the trainer holds `show_level`, and its memory is to be free as soon as its run has ended
        self._trainer: Trainer = weakref.proxy(trainer)
        self._run, self._log, self._judge = run, log, judge
        self._data, self._saved = data, saved
        trainer.before_anew = self.show_level

    @torch.no_grad()
    def show_level(self) -> None:
        """Samples of a level that ends, in whichever epoch that is."""
        trainer = self._trainer
        model = trainer.ema.evaluated()
        sampler = make_sampler(PRIOR, model, self._data.train, seed=0)
        shown = catalogue.Shown(model, self._data.validation, trainer.distributed.device, sampler)
        self._log.pictures({"samples": catalogue.samples(shown)}, trainer.epoch)

    @torch.no_grad()
    def __call__(self, row: Row) -> None:
        """Adds the scores to `row` where they are due. The checkpoint comes last: what it holds has been logged."""
        trainer, experiment = self._trainer, self._trainer.experiment
        epoch = trainer.epoch
        if is_due(trainer, experiment.evaluate_every):
            model, device, seed = trainer.ema.evaluated(), trainer.distributed.device, experiment.seed
            name = samplers_of(experiment.sampled_from, model, experiment.model.name)[0]
            sampler = make_sampler(name, model, self._data.train, seed=seed, device=device)
            if self._judge is not None:
                self._score(self._judge, model, sampler, row)
            shown = catalogue.Shown(model, self._data.validation, device, sampler)
            self._log.pictures(catalogue.draw_all(shown), epoch)
            trainer.row = row
        self._log.row(row)
        if epoch and is_due(trainer, experiment.checkpoint_every):
            best, trainer.logged = trainer.is_best(row), self._log.synced()
            checkpoint.save(self._run.checkpoint_path, trainer.state(), self._data.spec, best=best)
            self._saved()

    def _score(self, judge: Judge, model: GenerativeModel, sampler: Sampler, row: Row) -> None:
        """Adds the scores to `row`. Raises Fault where samples are not finite: a run is not to be found good by
        what stands of them, which is logged."""
        experiment, device, failed = self._trainer.experiment, self._trainer.distributed.device, Failures()
        scores = judge.score(model, seed=experiment.seed, device=device, sampler=sampler, failed=failed)
        row.update({f"validation/{name}": value for name, value in scores.items()})
        if SAMPLES in failed:
            self._log.row(row)
            raise Fault(failed[SAMPLES])
        say_left_out(left_out(experiment, {*scores, *failed}, self._data.validation, (sampler.name,)))
