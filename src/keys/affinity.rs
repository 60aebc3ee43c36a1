use crate::job::Job;
use std::fmt;
use std::sync::Arc;

/// Which jobs belong together: those of the same key.
///
/// A strategy that [has one](crate::Dispatcher::affinity) gets the pool to keep account of who holds which
/// key, and, with several dispatchers, to bring all jobs of a key to one of them.
///
/// Clones share the closure. To clone costs a reference count, to ask what the closure costs.
pub struct Affinity<J> {
    /// `None`: the key that the job was submitted with.
    key_of: Option<Arc<KeyOf<J>>>,
}

type KeyOf<J> = dyn Fn(&Job<J>) -> Option<u64> + Send + Sync;

impl<J> Affinity<J> {
    /// By the [key](crate::JobBuilder::key) that jobs were submitted with.
    pub fn by_key() -> Self {
        Affinity { key_of: None }
    }

    /// By what `key_of` makes of a job: a key, or `None` for a job that may go to anyone.
    ///
    /// It is called by whoever submits or dispatches, once for each dispatching and, with several dispatchers,
    /// once where the job is submitted. Like a strategy it decides and does nothing else: all workers of the
    /// dispatcher wait for it, and a call that would wait for the pool gives `WouldDeadlock`. It has to give
    /// the same key each time. If it panics, the job has no key, and
    /// [`Metrics::faults`](crate::Metrics::faults) counts it.
    pub fn by<K: Into<Option<u64>>>(key_of: impl Fn(&Job<J>) -> K + Send + Sync + 'static) -> Self {
        Affinity {
            key_of: Some(Arc::new(move |job| key_of(job).into())),
        }
    }

    /// The key of a job, if it has one.
    pub fn key_of(&self, job: &Job<J>) -> Option<u64> {
        match &self.key_of {
            Some(key_of) => key_of(job),
            None => job.key(),
        }
    }

    /// Whether the key is the one that the job was submitted with.
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
