//! A strategy that is watched while it chooses.

use super::log::Log;
use crate::dispatcher::{Affinity, All, Dispatcher, Place, Target, Vitals, Workers};
use crate::job::Job;
use crate::keys::holders::Holders;

/// Forwards all calls and checks the answers.
pub(super) struct Watched<D> {
    inner: D,
    log: Log,
}

impl<D> Watched<D> {
    pub(super) fn new(inner: D, log: Log) -> Self {
        Watched { inner, log }
    }

    /// Returns what is wrong with an answer.
    fn fault_of(target: Target, workers: &Workers<'_>) -> Option<String> {
        let key = workers.key();
        let holder = key.and_then(|key| workers.holder_of(key));
        if let (Some(key), Some(holder)) = (key, holder) {
            let holder = holder.id();
            if target != Target::Worker(holder) {
                return Some(format!(
                    "worker {holder} holds key {key}, but the key's next job was sent to {target:?}"
                ));
            }
        }
        let Target::Worker(id) = target else {
            return None;
        };
        let (index, places) = (id.index(), workers.len());
        if index >= places {
            return Some(format!("it named worker {id}: there are {places} places"));
        }
        let Some(worker) = workers.get(index) else {
            return Some(format!("it named worker {id}, which is not there"));
        };
        if worker.id() != id {
            return Some(format!("it named worker {id} of another dispatcher"));
        }
        if worker.is_retiring() && holder.is_none() {
            return Some(format!("it named worker {id}, which retires"));
        }
        None
    }
}

impl<J: 'static, D: Dispatcher<J>> Dispatcher<J> for Watched<D> {
    fn dispatch(&mut self, job: &Job<J>, workers: &Workers<'_>) -> Target {
        let (inner, log) = (&mut self.inner, &self.log);
        let target = log.guard("dispatch", || inner.dispatch(job, workers));
        self.log.step(format!("  asked, it says {target:?}"));
        if let Some(fault) = Self::fault_of(target, workers) {
            self.log.complain(fault);
        }
        target
    }

    fn late_binding(&self) -> bool {
        self.inner.late_binding()
    }

    fn affinity(&self) -> Option<Affinity<J>> {
        let affinity = self.inner.affinity()?;
        let log = self.log.clone();
        Some(Affinity::by(move |job| {
            let ask = || affinity.key_of(job);
            let key = log.guard("affinity", ask);
            let again = log.guard("affinity", ask);
            if key != again {
                log.complain(format!(
                    "`affinity` gave two keys for one job: {key:?}, then {again:?}"
                ));
            }
            key
        }))
    }
}

/// Checks that what is asked only once has only one answer.
pub(super) fn check_answers<J, D: Dispatcher<J>>(one: &D, other: &D, log: &Log) {
    let answers = |of: &D| (of.late_binding(), of.affinity().is_some());
    let (first, second, third) = (answers(one), answers(one), answers(other));
    if first != second || first != third {
        log.complain("`late_binding` or `affinity` answers now this, now that".to_owned());
    }
    if first == (true, true) {
        log.complain(
            "with `late_binding`, it is never asked, so it cannot have an `affinity`".to_owned(),
        );
    }
}

/// Checks that a strategy which is never asked only says `Any`.
pub(super) fn check_late<J, D: Dispatcher<J>>(strategy: &mut D, data: J, log: &Log) {
    let mut places: Vec<Place> = Vec::new();
    places.resize_with(3, || Place {
        present: true,
        ..Place::default()
    });
    let holders = Holders::default();
    let vitals = Vitals::of(places.len());
    let all = All {
        dispatcher: 0,
        places: &places,
        vitals: &vitals,
        depth: 4,
        holders: &holders,
    };
    let workers = Workers::new(&all, None);
    let target = strategy.dispatch(&Job::new(data), &workers);
    if target != Target::Any {
        log.complain(format!(
            "with `late_binding`, every answer is `Any`, but it said {target:?}"
        ));
    }
}
