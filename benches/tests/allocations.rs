//! No operation allocates: not per message, and not once in a thousand messages.

use vhost_fuzz_benches::OPERATIONS;

#[test]
fn no_operation_allocates() {
    for operation in OPERATIONS {
        let mut prepared = operation.prepare();
        let times = 1000 / prepared.messages() + 1;
        let made = allocation_counter::measure(|| prepared.run(times));
        assert_eq!(made.count_total, 0, "{}: allocations in {times} runs", operation.name);
    }
}

#[test]
fn the_counter_sees_an_allocation() {
    let made = allocation_counter::measure(|| {
        std::hint::black_box(Box::new(1_u64));
    });
    assert_eq!(made.count_total, 1);
}
