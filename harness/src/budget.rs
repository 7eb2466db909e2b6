//! What an operation may cost.

/// Does something that has all its memory already.
///
/// # Panics
/// When it allocates.
pub(crate) fn without_allocating<T>(what: &str, run: impl FnOnce() -> T) -> T {
    let mut result = None;
    let info = allocation_counter::measure(|| result = Some(run()));
    assert!(
        info.count_total == 0,
        "budget: {what} allocated {} times, {} bytes",
        info.count_total,
        info.bytes_total
    );
    let Some(result) = result else { unreachable!("it ran") };
    result
}
