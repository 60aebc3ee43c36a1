use fanpool::{Target, WorkerId};

fn main() {
    let _ = Target::Worker(WorkerId {
        dispatcher: 0,
        index: 1,
    });
}
