//! The session against its model: negotiation, memory, rings and every reply, also when effects
//! fail.
//!
//! The input is a [script]. Its first record may say what the device offers
//! ([`offer`](crate::session::offer)); messages of the main channel go to the back-end role.

use std::cell::Cell;

use crate::draw;
use crate::run::{self, Summary};
use crate::script::{self, Record};
use crate::session::back_end::{BackEnd, Core};
use crate::session::offer::ScriptOffer;
use crate::session::run::{Outcome, Run, Watch};

/// One input in so many is watched closely.
const WATCH_ONE_IN: u64 = 32;

/// Devices that are kept from one input to the next. Most inputs have one of a few offers, and
/// making a device costs as much as ten messages.
const DEVICES: usize = 4;

/// Runs one input through the session of the core.
///
/// # Panics
/// When an oracle finds a fault.
pub fn run(bytes: &[u8]) {
    thread_local! {
        static KEPT: Cell<Kept> = const { Cell::new(Kept { devices: Vec::new(), next: 0 }) };
    }
    run::input("session", bytes, |bytes| {
        let is_drawn = draw::number(bytes).is_multiple_of(WATCH_ONE_IN);
        let watch = if is_drawn { Watch::Closely } else { Watch::AtTheEnd };
        let first = script::records(bytes).next();
        // After a panic they are gone, and with them whatever state it left.
        let mut kept = KEPT.take();
        let outcome = kept.device(first.as_ref()).script(watch, script::records(bytes));
        KEPT.set(kept);
        Summary { is_accepted: outcome.refusals.is_empty(), messages: outcome.messages }
    });
}

/// Devices by the records that offered them.
#[derive(Default)]
struct Kept {
    devices: Vec<(Vec<u8>, Run<Core>)>,
    /// Which one makes room for the next.
    next: usize,
}

impl Kept {
    /// A device as the first record of a script has it.
    fn device(&mut self, first: Option<&Record<'_>>) -> &mut Run<Core> {
        let offered = first.and_then(ScriptOffer::arguments).unwrap_or_default();
        let found = self.devices.iter().position(|(arguments, _)| arguments == offered);
        let at = found.unwrap_or_else(|| {
            let offer = first.and_then(ScriptOffer::of_record).unwrap_or_default();
            let device = (offered.to_vec(), Run::new(&offer));
            if self.devices.len() < DEVICES {
                self.devices.push(device);
                return self.devices.len() - 1;
            }
            self.next = (self.next + 1) % DEVICES;
            self.devices[self.next] = device;
            self.next
        });
        &mut self.devices[at].1
    }
}

/// Runs one input through any session, watched closely.
///
/// # Panics
/// When an oracle finds a fault.
#[must_use]
pub fn check<B: BackEnd>(bytes: &[u8]) -> Outcome {
    let offer = script::records(bytes).next().as_ref().and_then(ScriptOffer::of_record);
    Run::<B>::new(&offer.unwrap_or_default()).script(Watch::Closely, script::records(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_kept_and_begins_anew() {
        let offers =
            [1, 2, 3, 1, 4, 5, 6, 1].map(|queues| ScriptOffer { queues, ..ScriptOffer::default() });
        let mut kept = Kept::default();
        for offer in &offers {
            let record = offer.record();
            let device = kept.device(Some(&record));
            assert_eq!(device.back_end().session().rings().len(), usize::from(offer.queues));
            let outcome = device.script(Watch::Closely, std::iter::empty());
            assert_eq!(outcome, Outcome::default());
        }
        assert_eq!(kept.devices.len(), DEVICES);
    }
}
