use fanpool::{Target, WorkerId};

fn main() {
    let _ = Target::Worker(WorkerId { numbers: 1 });
}
