use fanpool::WorkerId;

fn main() {
    let _ = (WorkerId::new(0, 1), WorkerId::default());
}
