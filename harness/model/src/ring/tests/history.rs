//! A queue without a ring.

use crate::ring::{History, Mistake};

#[test]
fn completions_reach_the_driver_once_and_in_their_order() {
    let mut history = History::new(false);
    assert_eq!(history.take(), None);
    assert_eq!(history.offer(b"ab", 0), 0);
    assert_eq!(history.offer(b"", 3), 1);
    assert_eq!(history.offer(b"c", 1), 2);
    assert_eq!((history.take(), history.take()), (Some(0), Some(1)));
    assert_eq!(history.waiting(), 2..3);
    assert_eq!(history.received().collect::<Vec<_>>(), [(&b"ab"[..], 0), (&b""[..], 3)]);

    assert_eq!(history.complete(1, b"xyz"), Ok(()));
    assert_eq!(history.deliveries().count(), 0);
    assert_eq!(history.unpublished().collect::<Vec<_>>(), [1]);
    assert_eq!(history.outstanding().collect::<Vec<_>>(), [0]);
    assert!(history.publish());
    assert!(!history.publish());
    assert_eq!(history.complete(0, b""), Ok(()));
    assert!(history.publish());

    let told: Vec<_> =
        history.deliveries().map(|told| (told.request, told.len(), told.bytes)).collect();
    assert_eq!(told, [(1, 3, &b"xyz"[..]), (0, 0, &b""[..])]);
    assert!(history.deliveries().nth(1).unwrap().is_empty());
    assert!(!history.is_settled());
    assert_eq!(history.take(), Some(2));
    assert_eq!(history.complete(2, b"d"), Ok(()));
    assert!(!history.is_settled());
    assert!(history.publish() && history.is_settled());
}

#[test]
fn mistakes_change_nothing() {
    let mut history = History::new(true);
    history.offer(b"", 1);
    history.offer(b"", 1);
    assert_eq!(history.complete(0, b""), Err(Mistake::NotInFlight));
    history.take();
    history.take();
    assert_eq!(history.complete(0, b"12"), Err(Mistake::TooLong));
    assert_eq!(history.complete(1, b"1"), Err(Mistake::OutOfOrder));
    assert_eq!(history.complete(2, b""), Err(Mistake::NotInFlight));
    assert_eq!(history.outstanding().count(), 2);
    assert_eq!(history.complete(0, b"1"), Ok(()));
    assert_eq!(history.complete(0, b"1"), Err(Mistake::NotInFlight));
    assert_eq!(history.complete(1, b""), Ok(()));
    history.publish();
    assert!(history.is_settled());

    history.clear(false);
    assert!(history.is_settled() && history.received().next().is_none());
    history.offer(b"", 0);
    history.offer(b"", 0);
    history.take();
    history.take();
    assert_eq!(history.complete(1, b""), Ok(()));
    assert_eq!(history.outstanding().collect::<Vec<_>>(), [0]);
}
