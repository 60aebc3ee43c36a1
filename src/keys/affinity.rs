use crate::job::Job;
use std::fmt;
use std::sync::Arc;

/// Says which jobs belong together: those with the same key.
///
/// If a strategy [has an affinity](crate::Dispatcher::affinity), the pool tracks which worker holds which key and, with
/// several dispatchers, brings all jobs of a key to one of them.
///
/// Clones share the closure. Cloning costs a reference count; asking for a key costs what the closure costs.
pub struct Affinity<J> {
    /// `None`: the key that the job was submitted with.
    key_of: Option<Arc<KeyOf<J>>>,
}

type KeyOf<J> = dyn Fn(&Job<J>) -> Option<u64> + Send + Sync;

impl<J> Affinity<J> {
    /// Uses the [key](crate::JobBuilder::key) that jobs were submitted with.
    pub fn by_key() -> Self {
        Affinity { key_of: None }
    }

    /// Uses the key that `key_of` returns, or `None` for a job that may go to any worker.
    ///
    /// The closure is called once per dispatch and, with several dispatchers, once more where the job is submitted.
    /// Like a strategy it must only decide: all workers of the dispatcher wait for it, and a call that would wait for
    /// the pool returns `WouldDeadlock`. It must return the same key each time. If it panics, the job has no key, and
    /// [`Metrics::faults`](crate::Metrics::faults) counts the panic.
    pub fn by<K: Into<Option<u64>>>(key_of: impl Fn(&Job<J>) -> K + Send + Sync + 'static) -> Self {
        Affinity {
            key_of: Some(Arc::new(move |job| key_of(job).into())),
        }
    }

    /// Returns the key of a job, if it has one.
    pub fn key_of(&self, job: &Job<J>) -> Option<u64> {
        match &self.key_of {
            Some(key_of) => key_of(job),
            None => job.key(),
        }
    }

    /// Returns whether the key is the one that the job was submitted with.
    pub(crate) fn is_by_key(&self) -> bool {
        self.key_of.is_none()
    }
}

impl<J> Clone for Affinity<J> {
    fn clone(&self) -> Self {
        Affinity {
            key_of: self.key_of.clone(),
        }
    }
}

impl<J> fmt::Debug for Affinity<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = if self.is_by_key() { "key" } else { "closure" };
        f.debug_struct("Affinity").field("by", &by).finish()
    }
}
