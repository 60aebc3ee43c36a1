//! Traces: recorded workloads.

use super::SimError;
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// A recorded workload: when jobs came, and how long each ran. Clones share it.
///
/// # Format
///
/// One job per line: `arrival,service[,key[,priority[,weight[,deadline]]]]`, in order of arrival. Arrival, service and
/// deadline are in seconds; the deadline is how long after its arrival the job should have started. An empty field
/// means no key, priority 0, weight 1 or no deadline. Empty lines, lines that begin with `#`, and a first line of names
/// that begins with `arrival` are skipped.
///
/// ```
/// use fanpool::sim::Trace;
///
/// let trace = Trace::parse("arrival,service,key\n0.0,1.5,7\n0.25,0.5\n")?;
/// assert_eq!(trace.len(), 2);
/// assert_eq!(trace.mean_service(), 1.0);
/// let error = Trace::parse("0,1\n0.5,-2\n").unwrap_err();
/// assert!(error.to_string().starts_with("line 2 of the trace"));
/// # Ok::<(), fanpool::sim::SimError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    jobs: Arc<[Recorded]>,
}

/// One job of a [`Trace`].
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// When it came, in seconds from the start.
    pub arrival: f64,
    /// How long it runs on a worker of speed 1, in seconds.
    pub service: f64,
    /// Its key, as [`JobBuilder::key`](crate::JobBuilder::key).
    pub key: Option<u64>,
    /// Its priority, as [`JobBuilder::priority`](crate::JobBuilder::priority).
    pub priority: i32,
    /// Its weight, as [`JobBuilder::weight`](crate::JobBuilder::weight).
    pub weight: u64,
    /// Its deadline, as [`JobBuilder::expires_in`](crate::JobBuilder::expires_in), in seconds from the arrival.
    pub deadline: Option<f64>,
}

impl Recorded {
    /// A job with all other fields at their defaults.
    pub fn new(arrival: f64, service: f64) -> Self {
        Recorded {
            arrival,
            service,
            key: None,
            priority: 0,
            weight: 1,
            deadline: None,
        }
    }

    /// Returns what is wrong with it. `last` is when the previous job came.
    fn problem(&self, last: f64) -> Option<String> {
        let time = |seconds: f64| seconds.is_finite() && seconds >= 0.0;
        if !time(self.arrival) {
            Some("an arrival is a number of seconds, 0 or more".to_owned())
        } else if !time(self.service) {
            Some("a service time is a number of seconds, 0 or more".to_owned())
        } else if !self.deadline.is_none_or(time) {
            Some("a deadline is a number of seconds after the arrival, 0 or more".to_owned())
        } else if self.arrival < last {
            Some(format!("it arrives before the job above it, at {last}"))
        } else if self.weight == 0 {
            Some("a weight is 1 or more".to_owned())
        } else {
            None
        }
    }
}

impl Trace {
    /// Creates a trace of these jobs.
    ///
    /// # Errors
    ///
    /// Returns [`SimError::Trace`] for the first job that is out of order or out of range (its line is its place, from
    /// 1), or if there are no jobs.
    pub fn new(jobs: impl IntoIterator<Item = Recorded>) -> Result<Self, SimError> {
        let jobs = jobs.into_iter().enumerate().map(|(at, job)| (at + 1, job));
        Trace::checked(jobs, |_, job| format!("{job:?}"))
    }

    /// Reads a trace from a text.
    ///
    /// # Errors
    ///
    /// Returns [`SimError::Trace`] for the first malformed line, and for a text without jobs.
    pub fn parse(text: &str) -> Result<Self, SimError> {
        let lines: Vec<&str> = text.lines().collect();
        let mut jobs = Vec::new();
        for (at, line) in lines.iter().enumerate() {
            let content = line.trim();
            let heading = jobs.is_empty() && content.starts_with("arrival");
            if content.is_empty() || content.starts_with('#') || heading {
                continue;
            }
            let job = parse_line(content).map_err(|problem| SimError::Trace {
                line: at + 1,
                text: content.to_owned(),
                problem,
            })?;
            jobs.push((at + 1, job));
        }
        Trace::checked(jobs, |line, _| lines[line - 1].trim().to_owned())
    }

    /// Reads a trace from a file.
    ///
    /// # Errors
    ///
    /// Returns [`SimError::Read`] if the file cannot be read, and the errors of [`parse`](Self::parse).
    pub fn read(path: impl AsRef<Path>) -> Result<Self, SimError> {
        let path = path.as_ref();
        let text = fs::read_to_string(path).map_err(|source| SimError::Read {
            path: path.to_owned(),
            source,
        })?;
        Trace::parse(&text)
    }

    fn checked(
        jobs: impl IntoIterator<Item = (usize, Recorded)>,
        show: impl Fn(usize, &Recorded) -> String,
    ) -> Result<Self, SimError> {
        let mut checked: Vec<Recorded> = Vec::new();
        for (line, job) in jobs {
            let last = checked.last().map_or(0.0, |last| last.arrival);
            if let Some(problem) = job.problem(last) {
                let text = show(line, &job);
                return Err(SimError::Trace {
                    line,
                    text,
                    problem,
                });
            }
            checked.push(job);
        }
        if checked.is_empty() {
            return Err(SimError::Trace {
                line: 1,
                text: String::new(),
                problem: "a trace has one job or more".to_owned(),
            });
        }
        Ok(Trace {
            jobs: checked.into(),
        })
    }

    /// Returns its jobs, in order of arrival.
    pub fn jobs(&self) -> &[Recorded] {
        &self.jobs
    }

    /// Returns how many jobs it has: never 0.
    pub fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Returns `false`: a trace is never empty.
    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Returns the mean of the service times, in seconds.
    pub fn mean_service(&self) -> f64 {
        let total: f64 = self.jobs.iter().map(|job| job.service).sum();
        total / self.len() as f64
    }

    /// Returns the jobs per second, from the first to the last; infinite if all came at once.
    pub fn rate(&self) -> f64 {
        let first = self.jobs.first().map_or(0.0, |job| job.arrival);
        let last = self.jobs.last().map_or(0.0, |job| job.arrival);
        (self.len() - 1) as f64 / (last - first)
    }
}

fn parse_line(line: &str) -> Result<Recorded, String> {
    let fields: Vec<&str> = line.split(',').map(str::trim).collect();
    if !(2..=6).contains(&fields.len()) {
        return Err(format!(
            "2 to 6 fields are expected, arrival,service[,key[,priority[,weight[,deadline]]]], and there are {}",
            fields.len()
        ));
    }
    let seconds = |at: usize, name: &str| {
        let field: &str = fields[at];
        field
            .parse::<f64>()
            .map_err(|_| format!("{name} is {field:?}, which is no number"))
    };
    let mut job = Recorded::new(seconds(0, "arrival")?, seconds(1, "service")?);
    job.key = number(&fields, 2, "key", "0 to 2^64 - 1")?;
    job.priority = number(&fields, 3, "priority", "-2^31 to 2^31 - 1")?.unwrap_or(0);
    job.weight = number(&fields, 4, "weight", "1 to 2^64 - 1")?.unwrap_or(1);
    job.deadline = number(&fields, 5, "deadline", "0 or more seconds")?;
    Ok(job)
}

fn number<N: std::str::FromStr>(
    fields: &[&str],
    at: usize,
    name: &str,
    allowed: &str,
) -> Result<Option<N>, String> {
    match fields.get(at) {
        None | Some(&"") => Ok(None),
        Some(field) => field
            .parse()
            .map(Some)
            .map_err(|_| format!("{name} is {field:?}; allowed: {allowed}, or nothing")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> (usize, String, String) {
        match Trace::parse(text).unwrap_err() {
            SimError::Trace {
                line,
                text,
                problem,
            } => (line, text, problem),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_malformed_line_is_named_with_its_number_and_text() {
        for (text, line, part, why) in [
            ("0,1\n\n# a note\n1;2\n", 4, "1;2", "2 to 6 fields"),
            ("0,1,2,3,4,5,6", 1, "0,1,2,3,4,5,6", "there are 7"),
            ("arrival,service\n0,1\nx,1", 3, "x,1", "arrival is \"x\""),
            ("0,one", 1, "0,one", "service is \"one\""),
            ("0,NaN", 1, "0,NaN", "0 or more"),
            ("0,1\n-1,1", 2, "-1,1", "0 or more"),
            ("3,1\n2,1", 2, "2,1", "before the job above it, at 3"),
            ("0,1,-7", 1, "0,1,-7", "key is \"-7\""),
            ("0,1,,x", 1, "0,1,,x", "priority is \"x\""),
            ("0,1,,,0", 1, "0,1,,,0", "1 or more"),
            ("0,1,,,,x", 1, "0,1,,,,x", "deadline is \"x\""),
            ("0,1,,,,-1", 1, "0,1,,,,-1", "0 or more"),
            ("# nothing", 1, "", "one job or more"),
            ("0,1\narrival,service", 2, "arrival,service", "no number"),
        ] {
            let (at, shown, problem) = problem(text);
            assert_eq!((at, shown.as_str()), (line, part), "{text:?}");
            assert!(problem.contains(why), "{text:?}: {problem}");
        }
    }

    #[test]
    fn all_fields_are_read() {
        let trace =
            Trace::parse("arrival,service,key,priority,weight,deadline\r\n 1 , 2.5,7,-3,9,0.5\r\n")
                .unwrap();
        let job = Recorded {
            key: Some(7),
            priority: -3,
            weight: 9,
            deadline: Some(0.5),
            ..Recorded::new(1.0, 2.5)
        };
        assert_eq!(trace.jobs(), [job]);
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = Trace::read("no/such/trace.csv").unwrap_err().to_string();
        assert!(error.contains("no/such/trace.csv"), "{error}");
    }
}
