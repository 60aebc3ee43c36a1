//! A submitted job: the caller's data, and its options.

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Instant;

/// A waiting job: the caller's data and the options it was submitted with.
///
/// Options are set at submission: [`pool.job(x)`](crate::Submitter::job). A [`Dispatcher`](crate::Dispatcher) chooses
/// by them. An unstarted job keeps its options when a shutdown hands it back
/// ([`ShutdownReport::unrun`](crate::ShutdownReport::unrun)), and so does a refused one. `pool.job(job)` submits such a
/// job again as it was.
///
/// A clone shares the options.
#[derive(Clone, PartialEq, Eq)]
pub struct Job<J> {
    data: J,
    /// `None` for plain jobs: they travel light.
    options: Option<Arc<Options>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Options {
    pub(crate) priority: i32,
    pub(crate) key: Option<u64>,
    pub(crate) weight: Option<NonZeroU64>,
    pub(crate) deadline: Option<Instant>,
    pub(crate) label: Option<Cow<'static, str>>,
}

impl<J> Job<J> {
    pub(crate) fn new(data: J) -> Self {
        Job {
            data,
            options: None,
        }
    }

    /// Makes a job that shares its options with others.
    #[cfg(feature = "sim")]
    pub(crate) fn with_options(data: J, options: Option<Arc<Options>>) -> Self {
        Job { data, options }
    }

    /// The submitted data.
    pub fn data(&self) -> &J {
        &self.data
    }

    /// Returns the submitted data and drops the options.
    pub fn into_inner(self) -> J {
        self.data
    }

    /// The job's urgency: the higher, the sooner, under queue orders that heed it. 0 by default.
    pub fn priority(&self) -> i32 {
        self.options().map_or(0, |options| options.priority)
    }

    /// What the job belongs to: a user, an endpoint, an account. Strategies and orders can keep such jobs together or
    /// apart.
    pub fn key(&self) -> Option<u64> {
        self.options().and_then(|options| options.key)
    }

    /// How much of the queue's capacity the job takes up while it waits, in the capacity's unit. 1 by default.
    pub fn weight(&self) -> u64 {
        weight(self.options())
    }

    /// A name for people to read.
    pub fn label(&self) -> Option<&str> {
        self.options().and_then(|options| options.label.as_deref())
    }

    /// When the job should have started at the latest, on the pool's clock; `None` if it has no deadline. Nothing acts
    /// on a missed deadline yet: the job runs late.
    pub fn deadline(&self) -> Option<Instant> {
        self.options().and_then(|options| options.deadline)
    }

    #[inline]
    pub(crate) fn options(&self) -> Option<&Options> {
        self.options.as_deref()
    }

    #[inline]
    pub(crate) fn share_options(&self) -> Option<Arc<Options>> {
        self.options.clone()
    }

    pub(crate) fn options_mut(&mut self) -> &mut Options {
        Arc::make_mut(self.options.get_or_insert_default())
    }

    pub(crate) fn own_weight(&self) -> Option<u64> {
        let weight = self.options().and_then(|options| options.weight);
        weight.map(NonZeroU64::get)
    }
}

#[inline]
pub(crate) fn weight(options: Option<&Options>) -> u64 {
    options
        .and_then(|options| options.weight)
        .map_or(1, NonZeroU64::get)
}

impl<J> From<J> for Job<J> {
    fn from(data: J) -> Self {
        Job::new(data)
    }
}

impl<J: fmt::Debug> fmt::Debug for Job<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut job = f.debug_struct("Job");
        job.field("data", &self.data);
        if let Some(options) = self.options() {
            job.field("options", options);
        }
        job.finish()
    }
}
