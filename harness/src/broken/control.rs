//! Devices with one mistake each in what they make of the control queue.

use vhost_fuzz_core::net::config_space::ConfigSpace;
use vhost_fuzz_core::net::control::{Coalescing, Control, ControlConfig, Outcome, Steered, class};
use vhost_fuzz_core::net::header::Features;

use crate::control::{ALL, Device};

/// What goes wrong around the device of the core. What it does not define is right.
pub trait Mistake: Default {
    /// Changes what was negotiated.
    #[must_use]
    fn features(&self, features: Features) -> Features {
        features
    }

    /// Changes a command before it is handled.
    fn before(&mut self, _control: &Control, _command: &mut Vec<u8>) {}

    /// Changes what came of it. `command` is as it came.
    fn after(
        &mut self,
        _control: &mut Control,
        _command: &[u8],
        outcome: Outcome,
        _result: &mut [u8],
    ) -> Outcome {
        outcome
    }

    /// Changes whether a frame is received.
    fn accepts(&self, _control: &Control, _frame: &[u8], accepts: bool) -> bool {
        accepts
    }

    /// Changes where a frame goes.
    fn steer(&self, _control: &Control, _frame: &[u8], steered: Steered) -> Steered {
        steered
    }

    /// Changes what the driver reads.
    #[must_use]
    fn space(&self, control: &Control, space: ConfigSpace) -> ConfigSpace {
        let _ = control;
        space
    }

    /// Changes what is on.
    #[must_use]
    fn offloads(&self, control: &Control) -> Features {
        control.offloads()
    }

    /// Changes how a device is reset.
    fn reset(&mut self, control: &mut Control, features: Features) {
        control.negotiated(features);
    }
}

/// A device that makes a mistake.
#[derive(Debug)]
pub struct Broken<M> {
    control: Control,
    mistake: M,
    /// The command, in memory that is there before it comes.
    command: Vec<u8>,
}

impl<M: Mistake> Device for Broken<M> {
    fn new(config: ControlConfig) -> Self {
        let command = Vec::with_capacity(0x4_0000);
        Self { control: Device::new(config), mistake: M::default(), command }
    }

    fn negotiated(&mut self, features: Features) {
        let features = self.mistake.features(features);
        self.mistake.reset(&mut self.control, features);
    }

    fn handle(&mut self, command: &[u8], result: &mut [u8]) -> Outcome {
        self.command.clear();
        self.command.extend_from_slice(command);
        self.mistake.before(&self.control, &mut self.command);
        let outcome = Device::handle(&mut self.control, &self.command, result);
        self.mistake.after(&mut self.control, command, outcome, result)
    }

    fn accepts(&self, frame: &[u8]) -> bool {
        let accepts = self.control.accepts(frame);
        self.mistake.accepts(&self.control, frame, accepts)
    }

    fn steer(&self, frame: &[u8]) -> Steered {
        self.mistake.steer(&self.control, frame, self.control.steer(frame))
    }

    fn config_space(&self) -> ConfigSpace {
        self.mistake.space(&self.control, self.control.config_space())
    }

    fn pairs(&self) -> u16 {
        self.control.pairs()
    }

    fn offloads(&self) -> Features {
        self.mistake.offloads(&self.control)
    }

    fn coalescing(&self, queue: u16) -> Option<Coalescing> {
        self.control.coalescing(queue)
    }

    fn set_link(&mut self, is_up: bool) -> bool {
        self.control.set_link(is_up)
    }

    fn announce(&mut self) -> bool {
        self.control.announce()
    }

    fn set_enabled(&mut self, queue: u16, is_enabled: bool) {
        self.control.set_enabled(queue, is_enabled);
    }
}

/// A device without a mistake, built like the others.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nothing;

impl Mistake for Nothing {}

/// Mistakes of one method each.
macro_rules! mistakes {
    ($($(#[$doc:meta])+ $name:ident { $($method:item)+ })+) => {$(
        $(#[$doc])+
        #[derive(Clone, Copy, Debug, Default)]
        pub struct $name;

        impl Mistake for $name {
            $($method)+
        }
    )+};
}

/// The command of a table, and where its second list begins.
fn lists(command: &[u8]) -> Option<(u32, usize)> {
    let count = command.get(2..)?.first_chunk().map(|count| u32::from_le_bytes(*count))?;
    let behind = usize::try_from(count).ok()?.checked_mul(6)?.checked_add(6)?;
    (command.get(..2)? == [1, 0]).then_some((count, behind))
}

/// Where the table of an `RSS_CONFIG` ends, if it lies in the command.
fn table_end(command: &[u8]) -> Option<usize> {
    let mask = command.get(6..)?.first_chunk().map(|mask| u16::from_le_bytes(*mask))?;
    let end = 10 + 2 * (usize::from(mask) + 1);
    (command.get(..2)? == [4, 1] && end <= command.len()).then_some(end)
}

/// The station that a frame is for is a group.
fn is_group(frame: &[u8]) -> bool {
    frame.first().is_some_and(|first| first & 1 != 0)
}

mistakes! {
    /// Takes every command, whatever was negotiated (NET-039).
    IgnoresFeatures {
        fn features(&self, _: Features) -> Features {
            ALL
        }
        fn offloads(&self, _: &Control) -> Features {
            ALL
        }
    }

    /// Reads a command that is cut as if zeroes followed (NET-038).
    ReadsPastTheEnd {
        fn before(&mut self, _: &Control, command: &mut Vec<u8>) {
            if command.len() >= 2 && command[..2] != [1, 0] {
                command.resize(command.len().max(12), 0);
            }
        }
    }

    /// Wants a command to end where its data ends (NET-038).
    WantsNoSurplus {
        fn before(&mut self, _: &Control, command: &mut Vec<u8>) {
            if command.first() == Some(&class::RX) && command.len() > 3 {
                command.clear();
            }
        }
    }

    /// Forms the bytes of a list in 32 bits (NET-043).
    WrapsTheCount {
        fn before(&mut self, _: &Control, command: &mut Vec<u8>) {
            if let Some((count, _)) = lists(command) {
                let wrapped = count.wrapping_mul(6) / 6;
                command[2..6].copy_from_slice(&wrapped.to_le_bytes());
            }
        }
    }

    /// Refuses a table for which it has no room (NET-043).
    RefusesLongTables {
        fn before(&mut self, control: &Control, command: &mut Vec<u8>) {
            if lists(command).is_some_and(|(count, _)| count > control.config().addresses.into()) {
                command.truncate(2);
            }
        }
    }

    /// Keeps the front of a table for which it has no room (NET-043).
    CutsLongTables {
        fn before(&mut self, control: &Control, command: &mut Vec<u8>) {
            let room = control.config().addresses;
            if let Some((count, behind)) = lists(command)
                && count > room.into()
                && command.len() >= behind
            {
                command[2..6].copy_from_slice(&u32::from(room).to_le_bytes());
                command.drain(6 + 6 * usize::from(room)..behind);
            }
        }
    }

    /// Takes the first list although the second one is bad.
    TakesHalfATable {
        fn after(
            &mut self,
            control: &mut Control,
            command: &[u8],
            outcome: Outcome,
            result: &mut [u8],
        ) -> Outcome {
            if let (Outcome::Refused(_), Some((_, behind))) = (outcome, lists(command))
                && command.len() >= behind
            {
                let mut first = [0; 256];
                if let Some(front) = first.get_mut(..behind) {
                    front.copy_from_slice(&command[..behind]);
                    let _ = Device::handle(control, &first[..behind + 4], result);
                }
            }
            outcome
        }
    }

    /// Receives nothing for groups (NET-042).
    DropsGroups {
        fn accepts(&self, control: &Control, frame: &[u8], accepts: bool) -> bool {
            accepts && !(is_group(frame) && control.features().has(Features::CTRL_RX))
        }
    }

    /// Receives everything (NET-042).
    FiltersNothing {
        fn accepts(&self, _: &Control, _: &[u8], _: bool) -> bool {
            true
        }
    }

    /// Filters for a driver whose front-end has the control queue (NET-042).
    FiltersForOthers {
        fn accepts(&self, control: &Control, frame: &[u8], accepts: bool) -> bool {
            let is_ours = control.features().has(Features::CTRL_VQ);
            accepts && (is_ours || is_group(frame) || frame.starts_with(&control.mac().0))
        }
    }

    /// Drops frames whose tag has only a priority (NET-044).
    DropsPriorityTags {
        fn accepts(&self, control: &Control, frame: &[u8], accepts: bool) -> bool {
            let is_priority = frame.get(12..16) == Some(&[0x81, 0, 0, 0]);
            accepts && !(is_priority && control.features().has(Features::CTRL_VLAN))
        }
    }

    /// Drops tagged frames of a driver that does not list VLANs (NET-044).
    DropsTagsAlways {
        fn accepts(&self, control: &Control, frame: &[u8], accepts: bool) -> bool {
            let is_tagged = frame.get(12..14) == Some(&[0x81, 0]);
            accepts && (!is_tagged || control.features().has(Features::CTRL_VLAN))
        }
    }

    /// Takes a service tag for a VLAN of the list.
    MindsServiceTags {
        fn accepts(&self, control: &Control, frame: &[u8], accepts: bool) -> bool {
            let is_service = frame.get(12..14) == Some(&[0x88, 0xa8]);
            accepts && !(is_service && control.features().has(Features::CTRL_VLAN))
        }
    }

    /// Tells the address that the driver had first (NET-041).
    ForgetsTheAddress {
        fn space(&self, control: &Control, space: ConfigSpace) -> ConfigSpace {
            ConfigSpace { mac: control.config().mac, ..space }
        }
    }

    /// Takes an address of a group.
    TakesGroups {
        fn before(&mut self, _: &Control, command: &mut Vec<u8>) {
            if command.starts_with(&[1, 1]) && is_group(&command[2..]) {
                command[2] &= 0xfe;
            }
        }
    }

    /// Does not clear the wish for an announcement (NET-045).
    AsksForever {
        fn before(&mut self, _: &Control, command: &mut Vec<u8>) {
            if command.starts_with(&[3, 0]) {
                command.splice(..2, [0, 3, 0]);
            }
        }
    }

    /// Takes no queues for one pair (NET-047).
    TakesNoPairs {
        fn before(&mut self, _: &Control, command: &mut Vec<u8>) {
            if command.starts_with(&[4, 0, 0, 0]) {
                command[2] = 1;
            }
        }
    }

    /// Compares pairs with what the standard allows, not with what there is (NET-047).
    TakesAnyPairs {
        fn before(&mut self, control: &Control, command: &mut Vec<u8>) {
            if command.starts_with(&[4, 0]) && command.len() >= 4 {
                let pairs = u16::from_le_bytes([command[2], command[3]]);
                let least = if pairs > 0x8000 { pairs } else { pairs.min(control.config().pairs) };
                command[2..4].copy_from_slice(&least.to_le_bytes());
            }
        }
    }

    /// Switches on what was not negotiated (NET-052).
    TakesAnyOffload {
        fn before(&mut self, control: &Control, command: &mut Vec<u8>) {
            if command.starts_with(&[5, 0]) && command.len() >= 10 {
                // The tunnels too, that have other bits here.
                let bits = control.features().bits();
                let known = bits & 0x00c0_0000_0000_0782 | bits >> 19 & 3 << 46;
                for (byte, mask) in command[2..10].iter_mut().zip(known.to_le_bytes()) {
                    *byte &= mask;
                }
            }
        }
    }

    /// Takes the bits of tunnels for those of other features.
    ForgetsTunnels {
        fn offloads(&self, control: &Control) -> Features {
            let tunnels = Features::from_bits(3 << 65 & control.features().bits());
            control.offloads() | tunnels
        }
    }

    /// Takes the control queue for one of frames (NET-050).
    CountsTheControlQueue {
        fn before(&mut self, control: &Control, command: &mut Vec<u8>) {
            let queue = (2 * control.config().pairs).to_le_bytes();
            if command.starts_with(&[6, 2, queue[0], queue[1]]) {
                (command[2], command[3]) = (0, 0);
            }
        }
    }

    /// Does not look at the queues of a table (NET-048, NH12).
    TakesAnyQueue {
        fn before(&mut self, control: &Control, command: &mut Vec<u8>) {
            let pairs = control.config().pairs;
            if let Some(end) = table_end(command) {
                for pair in command[8..end].chunks_exact_mut(2) {
                    if u16::from_le_bytes([pair[0], pair[1]]) >= pairs {
                        pair.copy_from_slice(&[0, 0]);
                    }
                }
            }
        }
    }

    /// Takes a table of any size below the largest one (NET-048).
    TakesOddTables {
        fn before(&mut self, control: &Control, command: &mut Vec<u8>) {
            let max = control.config().hashing.map_or(0, |it| it.table_max);
            if let Some(end) = table_end(command)
                && end - 10 <= 2 * usize::from(max)
            {
                let count = (end - 10) / 2;
                let less = if count.is_power_of_two() { count } else { count.next_power_of_two() / 2 };
                command.drain(10 + 2 * less..end);
                let mask = u16::try_from(less - 1).unwrap_or(0);
                command[6..8].copy_from_slice(&mask.to_le_bytes());
            }
        }
    }

    /// Reads a table for which it has no room (NET-048, hazard 8.18).
    TakesLongTables {
        fn before(&mut self, control: &Control, command: &mut Vec<u8>) {
            let max = control.config().hashing.map_or(0, |it| it.table_max);
            if let Some(end) = table_end(command)
                && (end - 10) / 2 > max.into()
                && (end - 10).is_power_of_two()
            {
                command.drain(12..end);
                command[6..8].copy_from_slice(&[0, 0]);
            }
        }
    }

    /// Takes a key that is too long for what it has.
    CutsLongKeys {
        fn before(&mut self, control: &Control, command: &mut Vec<u8>) {
            let max = control.config().hashing.map_or(0, |it| it.key_max);
            let at = match command[..] {
                [4, 2, ..] => Some(14),
                _ => table_end(command).map(|end| end + 2),
            };
            if let Some(len) = at.and_then(|at| command.get_mut(at)) {
                *len = (*len).min(max);
            }
        }
    }

    /// Sends frames to queues that are reset (NET-049).
    MindsNoReset {
        fn steer(&self, _: &Control, _: &[u8], steered: Steered) -> Steered {
            Steered { pair: steered.pair.or(Some(0)), ..steered }
        }
    }

    /// Sends frames to a queue behind those in use (NET-046).
    UsesEveryPair {
        fn steer(&self, control: &Control, frame: &[u8], steered: Steered) -> Steered {
            let last = frame.last().map(|_| control.config().pairs - 1);
            Steered { pair: steered.pair.and(last), ..steered }
        }
    }

    /// Reports the number of the bit, not one more.
    ReportsTheBit {
        fn steer(&self, _: &Control, _: &[u8], mut steered: Steered) -> Steered {
            if let Some(hash) = &mut steered.hash {
                hash.report -= 1;
            }
            steered
        }
    }

    /// Hashes with the words of the key the other way round.
    SwapsTheHash {
        fn steer(&self, _: &Control, _: &[u8], mut steered: Steered) -> Steered {
            if let Some(hash) = &mut steered.hash {
                hash.value = hash.value.swap_bytes();
            }
            steered
        }
    }

    /// Has a hash of ports for the first fragment (DC-147).
    HashesFragments {
        fn steer(&self, control: &Control, frame: &[u8], steered: Steered) -> Steered {
            let is_first = frame.get(12..15) == Some(&[8, 0, 0x45]) && frame.get(20) == Some(&0x20);
            let mut whole = [0; 80];
            match whole.get_mut(..frame.len()) {
                Some(whole) if is_first => {
                    whole.copy_from_slice(frame);
                    whole[20] = 0;
                    control.steer(whole)
                }
                _ => steered,
            }
        }
    }

    /// Keeps a table when it is to distribute frames itself (DC-148).
    KeepsTheTable {
        fn after(
            &mut self,
            control: &mut Control,
            command: &[u8],
            outcome: Outcome,
            result: &mut [u8],
        ) -> Outcome {
            if let ([4, 0, ..], Outcome::Done { .. }) = (command, outcome) {
                // All go to the first queue.
                let pairs = control.pairs().to_le_bytes();
                let table = [4, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, pairs[0], pairs[1], 0];
                let _ = Device::handle(control, &table, result);
            }
            outcome
        }
    }

    /// Answers with a result longer than its room.
    WritesBehind {
        fn after(
            &mut self,
            _: &mut Control,
            command: &[u8],
            outcome: Outcome,
            result: &mut [u8],
        ) -> Outcome {
            if let (Some(next), Outcome::Done { .. }) = (result.get_mut(8), outcome)
                && command.starts_with(&[6, 3])
            {
                *next = 0;
            }
            outcome
        }
    }

    /// Tells all writable bytes for the used length (NET-036).
    TellsItsRoom {
        fn after(
            &mut self,
            _: &mut Control,
            _: &[u8],
            outcome: Outcome,
            result: &mut [u8],
        ) -> Outcome {
            match (outcome, u32::try_from(result.len())) {
                (Outcome::Done { .. }, Ok(len)) => Outcome::Done { len },
                _ => outcome,
            }
        }
    }

    /// Keeps what the last driver said (NET-040).
    NeverForgets {
        fn reset(&mut self, control: &mut Control, features: Features) {
            if control.features() != features {
                control.negotiated(features);
            }
        }
    }

    /// Keeps a copy of every command.
    Allocates {
        fn before(&mut self, _: &Control, command: &mut Vec<u8>) {
            *command = std::hint::black_box(command.clone());
        }
    }

    /// Has no queue behind the first pair (NET-021).
    ForgetsPairs {
        fn space(&self, _: &Control, space: ConfigSpace) -> ConfigSpace {
            ConfigSpace { max_virtqueue_pairs: 1, ..space }
        }
    }
}

/// Negotiates nothing any more after some commands that it refused (hazard 8.18).
#[derive(Clone, Copy, Debug, Default)]
pub struct GivesUp {
    refused: usize,
}

impl Mistake for GivesUp {
    fn reset(&mut self, control: &mut Control, features: Features) {
        control.negotiated(if self.refused < 4 { features } else { Features::default() });
    }

    fn after(&mut self, _: &mut Control, _: &[u8], outcome: Outcome, _: &mut [u8]) -> Outcome {
        self.refused += usize::from(outcome.ack() != 0);
        outcome
    }
}
