//! The order in which waiting jobs leave the queue, as the flag says it.

use fanpool::queue_order::QueueOrder;
use fanpool::sim::SimJob;
use fanpool::{AdaptiveLifo, EarliestDeadline, FairShare, Fifo, Lifo, Priority};
use std::fmt;
use std::str::FromStr;

const THRESHOLD: usize = 100;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Order {
    Fifo,
    Lifo,
    /// While more than so many wait.
    AdaptiveLifo(Option<usize>),
    FairShare,
    /// With ageing, if it is given.
    Priority(Option<u64>),
    EarliestDeadline,
}

impl Order {
    pub(crate) fn make(self) -> Box<dyn QueueOrder<SimJob>> {
        match self {
            Order::Fifo => Box::new(Fifo::new()),
            Order::Lifo => Box::new(Lifo::new()),
            Order::AdaptiveLifo(threshold) => {
                Box::new(AdaptiveLifo::new(threshold.unwrap_or(THRESHOLD)))
            }
            Order::FairShare => Box::new(FairShare::new()),
            Order::Priority(None) => Box::new(Priority::new()),
            Order::Priority(Some(every)) => Box::new(Priority::new().ageing(every)),
            Order::EarliestDeadline => Box::new(EarliestDeadline::new()),
        }
    }
}

impl FromStr for Order {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, number) = match text.split_once(':') {
            Some((name, number)) => (name, Some(number)),
            None => (text, None),
        };
        Ok(match (name, number) {
            ("fifo", None) => Order::Fifo,
            ("lifo", None) => Order::Lifo,
            ("fair-share", None) => Order::FairShare,
            ("earliest-deadline", None) => Order::EarliestDeadline,
            ("adaptive-lifo", None) => Order::AdaptiveLifo(None),
            ("adaptive-lifo", Some(number)) => match number.parse() {
                Ok(threshold) => Order::AdaptiveLifo(Some(threshold)),
                Err(_) => return Err("allowed as a threshold is 0 or more jobs".to_owned()),
            },
            ("priority", None) => Order::Priority(None),
            ("priority", Some(number)) => match number.parse() {
                Ok(every) if every > 0 => Order::Priority(Some(every)),
                _ => return Err("allowed as ageing is 1 or more jobs for each level".to_owned()),
            },
            _ => {
                return Err(
                    "allowed is fifo, lifo, adaptive-lifo[:THRESHOLD], fair-share, \
                            priority[:AGEING] or earliest-deadline"
                        .to_owned(),
                );
            }
        })
    }
}

impl fmt::Display for Order {
    /// As it was given.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Order::Fifo => f.write_str("fifo"),
            Order::Lifo => f.write_str("lifo"),
            Order::AdaptiveLifo(None) => f.write_str("adaptive-lifo"),
            Order::AdaptiveLifo(Some(threshold)) => write!(f, "adaptive-lifo:{threshold}"),
            Order::FairShare => f.write_str("fair-share"),
            Order::Priority(None) => f.write_str("priority"),
            Order::Priority(Some(every)) => write!(f, "priority:{every}"),
            Order::EarliestDeadline => f.write_str("earliest-deadline"),
        }
    }
}
