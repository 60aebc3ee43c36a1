//! What flags may say.

use fanpool::sim::{Depth, Keys};

const MAX_WORKERS: usize = 1 << 20;
const MAX_KEYS: usize = 10_000_000;
/// Each has its line in the table.
const MAX_CLASSES: usize = 64;

pub(crate) fn depth(text: &str) -> Result<Depth, String> {
    if text == "unbounded" {
        return Ok(Depth::Unbounded);
    }
    match text.parse() {
        Ok(jobs) if jobs > 0 => Ok(Depth::Jobs(jobs)),
        _ => Err("allowed is 1 or more jobs, or `unbounded`".to_owned()),
    }
}

pub(crate) fn workers(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if (1..=MAX_WORKERS).contains(&count) => Ok(count),
        _ => Err(format!("allowed is 1 to {MAX_WORKERS}")),
    }
}

pub(crate) fn keys(text: &str) -> Result<Keys, String> {
    let allowed = || "allowed is N, N:zipf, N:EXPONENT, or shares such as 8,1,1".to_owned();
    if text.contains(',') {
        return shares(text).map(Keys::shares).ok_or_else(allowed);
    }
    let (count, exponent) = text.split_once(':').unwrap_or((text, "0"));
    let count = count.parse().map_err(|_| allowed())?;
    if !(1..=MAX_KEYS).contains(&count) {
        return Err(format!("allowed is 1 to {MAX_KEYS} keys"));
    }
    let exponent = if exponent == "zipf" { "1" } else { exponent };
    match exponent.parse() {
        Ok(exponent) => Ok(Keys::zipf(count, exponent)),
        Err(_) => Err(allowed()),
    }
}

/// The share of each class.
#[derive(Clone, Debug)]
pub(crate) struct Shares(pub(crate) Vec<f64>);

pub(crate) fn classes(text: &str) -> Result<Shares, String> {
    let allowed = || format!("allowed is 1 to {MAX_CLASSES}, or shares such as 1,9");
    if text.contains(',') {
        let shares = shares(text).filter(|shares| shares.len() <= MAX_CLASSES);
        return shares.map(Shares).ok_or_else(allowed);
    }
    match text.parse() {
        Ok(count) if (1..=MAX_CLASSES).contains(&count) => Ok(Shares(vec![1.0; count])),
        _ => Err(allowed()),
    }
}

fn shares(text: &str) -> Option<Vec<f64>> {
    text.split(',').map(|share| share.parse().ok()).collect()
}
