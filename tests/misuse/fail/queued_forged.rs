#![allow(unreachable_code)]

use fanpool::{JobId, Queued};

fn forge(id: JobId) -> Queued<u64> {
    Queued {
        number: id.get(),
        body: unreachable!(),
    }
}

fn main() {}
