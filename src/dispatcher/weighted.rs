use super::{Dispatcher, Target, WorkerView, Workers};
use crate::error::BuildError;
use crate::job::Job;

/// Sends jobs to the workers in turn, each as often as its weight says: for workers that are not alike.
///
/// Smooth weighted round robin, as in nginx (`ngx_http_upstream_round_robin.c`, since 1.3.1): with weights 3, 1 and 1
/// the turns are 0, 1, 0, 2, 0, so that the heavy worker's jobs are spread out. Workers whose inbox is full are skipped
/// and get no turn on credit.
///
/// Bad at weights that are wrong. [`LeastBusy`](super::LeastBusy) finds out by itself which workers are fast, and suits
/// most pools better; use this one where the shares themselves matter. While all inboxes are full, jobs go wherever
/// room comes first, whatever the weights. Cost: O(workers) per job.
///
/// ```
/// use fanpool::{Pool, Weighted, handler_fn};
///
/// let weighted = Weighted::new([3, 1, 1])?;
/// let pool = Pool::builder(handler_fn(|n: u64| Ok::<_, std::io::Error>(n)))
///     .workers_per_dispatcher(3)
///     .dispatcher(move || weighted.clone())
///     .build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Weighted {
    weights: Box<[u32]>,
    /// For each place, how far behind its share it is. The sum is 0 while no worker is skipped.
    credit: Vec<i64>,
}

impl Weighted {
    /// Creates the strategy from the weight of each worker, by index. Workers beyond the list have weight 1; weights
    /// beyond the last worker are ignored.
    ///
    /// # Errors
    ///
    /// Returns [`BuildError::Setting`] for an empty list or a weight of 0.
    pub fn new(weights: impl IntoIterator<Item = u32>) -> Result<Self, BuildError> {
        let weights: Box<[u32]> = weights.into_iter().collect();
        if weights.is_empty() || weights.contains(&0) {
            return Err(BuildError::Setting {
                setting: "Weighted::new",
                value: format!("{weights:?}"),
                allowed: format!("one weight or more, each from 1 to {}", u32::MAX),
            });
        }
        Ok(Weighted {
            weights,
            credit: Vec::new(),
        })
    }

    fn weight(&self, index: usize) -> i64 {
        self.weights.get(index).map_or(1, |&weight| weight.into())
    }
}

impl<J> Dispatcher<J> for Weighted {
    fn dispatch(&mut self, _: &Job<J>, workers: &Workers<'_>) -> Target {
        self.credit.resize(workers.len(), 0);
        let mut total = 0;
        let mut best: Option<WorkerView<'_>> = None;
        for worker in workers.iter().filter(WorkerView::has_room) {
            let weight = self.weight(worker.index());
            total += weight;
            self.credit[worker.index()] += weight;
            let credit = |worker: &WorkerView<'_>| self.credit[worker.index()];
            if best.is_none_or(|best| credit(&worker) > credit(&best)) {
                best = Some(worker);
            }
        }
        let Some(best) = best else {
            return Target::Any;
        };
        self.credit[best.index()] -= total;
        Target::Worker(best.id())
    }
}
