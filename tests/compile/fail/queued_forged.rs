#![allow(unreachable_code)]

use fanpool::{JobId, Queued};

fn forge(id: JobId) -> Queued<u64> {
    Queued {
        id,
        body: unreachable!(),
    }
}

fn main() {}
