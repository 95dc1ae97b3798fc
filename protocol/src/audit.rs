//! The audit record: one line of JSON for each decision of the server, bounded.
//!
//! Written by the parts that decide and have a privilege, before the effect; read by `weir audit`. Times are text of one length in
//! UTC, so that their order is that of their letters.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::bytes::ByteString;
use crate::denial::Denial;
use crate::method::context::{ContextId, LeaseId};
use crate::method::process::End;
use crate::policy::Digest;
use crate::policy::lease::Grant;

/// The state directory of the server that root runs.
pub const SYSTEM_STATE: &str = "/var/lib/weir";

/// The file's name, in the server's state directory.
pub const FILE_NAME: &str = "audit.jsonl";

/// Size beyond which a file is set aside, in bytes.
pub const FILE_BYTES: u64 = 16 << 20;

/// Files that were set aside and are kept: the name with `.1` behind it is the youngest, the one with this number the oldest.
pub const KEPT_FILES: u32 = 4;

/// Most bytes of one line with its end. A test writes the longest, and a lease whose line would be longer is not given.
pub const MAX_LINE_BYTES: usize = 64 << 10;

/// Most arguments of a command that are recorded.
pub const MAX_ARGUMENTS: usize = 32;

/// Most bytes of those arguments together.
pub const MAX_ARGUMENT_BYTES: usize = 2048;

/// Most denials of one command that are recorded, from its launcher and from its gate each: the report holds more.
pub const MAX_DENIALS: usize = 64;

/// Most bytes of each text of a denial: its path or address, its program, its rule and file, its reason.
pub const MAX_DENIAL_TEXT_BYTES: usize = 512;

/// Most bytes of a profile's name, and of a reason.
pub const MAX_PROFILE_BYTES: usize = 256;
/// See [`MAX_PROFILE_BYTES`].
pub const MAX_REASON_BYTES: usize = 1024;

/// Most bytes of a thread's name, and of a turn's, in a record about a lease.
pub const MAX_TURN_BYTES: usize = 256;

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// A client is served.
    Admit,
    /// A client is not.
    TurnAway,
    /// A command is started.
    Start,
    /// A command is not.
    Refuse,
    /// A question about a host is answered: granted or denied.
    Answer,
    /// A lease is given.
    Lease,
    /// A lease is not.
    RefuseLease,
    /// A lease is over: its time is, it was used, or its context is another one.
    EndLease,
    /// Something was refused to a command.
    Deny,
    /// A sandbox has ended, or could not be made.
    End,
    /// Changes of a copy are applied or discarded.
    Changes,
    /// The requirements were read again.
    Reload,
    /// The server stops, and with it what runs.
    Stop,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Admit,
        Self::TurnAway,
        Self::Start,
        Self::Refuse,
        Self::Answer,
        Self::Lease,
        Self::RefuseLease,
        Self::EndLease,
        Self::Deny,
        Self::End,
        Self::Changes,
        Self::Reload,
        Self::Stop,
    ];

    /// Its name in a record.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admit => "admit",
            Self::TurnAway => "turn-away",
            Self::Start => "start",
            Self::Refuse => "refuse",
            Self::Answer => "answer",
            Self::Lease => "lease",
            Self::RefuseLease => "refuse-lease",
            Self::EndLease => "end-lease",
            Self::Deny => "deny",
            Self::End => "end",
            Self::Changes => "changes",
            Self::Reload => "reload",
            Self::Stop => "stop",
        }
    }
}

/// Who says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// The supervisor, which the kernel told who connected.
    Supervisor,
    /// The launcher, which is that user's.
    Launcher,
    /// The supervisor, as the unprivileged server part told it: no more than a claim of the user's own side.
    ServerPart,
}

/// For what a lease may be used, in a record about it: as [`Scope`](crate::policy::lease::Scope), whose words stand beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reach {
    /// One start of the record's command.
    Command,
    /// Every start within one turn.
    Turn,
    /// Every start within its context.
    Context,
}

/// A lease, in a record about one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRecord {
    /// Its number; absent where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<LeaseId>,
    /// The context that it widens.
    pub context: ContextId,
    /// For what it may be used.
    pub reach: Reach,
    /// The thread, of a lease for a turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<String>,
    /// The turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<String>,
    /// All that it grants; of one that is not given, or over, only where that has room in the line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<Grant>,
    /// When its time is over, as [`time`] says it.
    pub until: String,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When, as [`time`] says it.
    pub time: String,
    /// For whom: the user.
    pub uid: u32,
    /// And the group.
    pub gid: u32,
    /// What was decided.
    pub action: Action,
    /// By whom.
    pub by: By,
    /// The profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// The digest of the policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// The command, as far as it is recorded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub argv: Vec<ByteString>,
    /// Whether there is more of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub argv_cut: bool,
    /// How it is held: as the machine presents itself at the start, as it was at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub way: Option<String>,
    /// The sandbox's first process, or the client, as the host numbers it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// How the command ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<End>,
    /// What was refused: without the edit, which follows from the policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denial: Option<Box<Denial>>,
    /// The lease that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Box<LeaseRecord>>,
    /// How many of the same it stands for, which were not recorded one by one. The records before it said that there might be such.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
    /// Why, where it is not plain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Record {
    /// A record of nothing but this.
    #[must_use]
    pub const fn new(time: String, (uid, gid): (u32, u32), action: Action, by: By) -> Self {
        Self {
            time,
            uid,
            gid,
            action,
            by,
            profile: None,
            digest: None,
            argv: Vec::new(),
            argv_cut: false,
            way: None,
            pid: None,
            end: None,
            denial: None,
            lease: None,
            times: None,
            reason: None,
        }
    }

    /// With a command, cut to what is recorded.
    #[must_use]
    pub fn with_command(mut self, profile: &str, digest: Digest, argv: &[ByteString]) -> Self {
        self.profile = Some(cut(profile, MAX_PROFILE_BYTES));
        self.digest = Some(digest);
        let mut left = MAX_ARGUMENT_BYTES;
        for argument in argv.iter().take(MAX_ARGUMENTS) {
            let part = argument.0.get(..left).unwrap_or(&argument.0);
            left -= part.len();
            self.argv.push(ByteString(part.to_vec()));
            self.argv_cut |= part.len() < argument.0.len();
        }
        self.argv_cut |= argv.len() > MAX_ARGUMENTS;
        self
    }

    /// About a denial under a policy, cut to what is recorded.
    #[must_use]
    pub fn about(mut self, profile: &str, digest: Digest, denial: &Denial) -> Self {
        let mut denial = denial.clone();
        denial.target.0.truncate(MAX_DENIAL_TEXT_BYTES);
        let text = |text: String| cut(&text, MAX_DENIAL_TEXT_BYTES);
        denial.reason = denial.reason.map(text);
        if let Some(origin) = &mut denial.origin {
            origin.rule = cut(&origin.rule, MAX_DENIAL_TEXT_BYTES);
            origin.profile = cut(&origin.profile, MAX_PROFILE_BYTES);
            if let Some(place) = &mut origin.place {
                place.file = cut(&place.file, MAX_DENIAL_TEXT_BYTES);
            }
        }
        for name in
            denial.process.iter_mut().flat_map(|process| [&mut process.exe, &mut process.command]).flatten()
        {
            name.0.truncate(MAX_DENIAL_TEXT_BYTES);
        }
        (denial.edit, denial.option) = (None, None);
        self.profile = Some(cut(profile, MAX_PROFILE_BYTES));
        self.digest = Some(digest);
        self.denial = Some(Box::new(denial));
        self
    }

    /// About a lease. Names of thread and turn are cut to what is recorded; grants are not, so that none goes unseen: where there are
    /// too many words in them there is no [`Self::line`].
    #[must_use]
    pub fn about_lease(mut self, mut lease: LeaseRecord) -> Self {
        for name in [&mut lease.thread, &mut lease.turn].into_iter().flatten() {
            *name = cut(name, MAX_TURN_BYTES);
        }
        self.lease = Some(Box::new(lease));
        self
    }

    /// With a reason, cut to what is recorded.
    #[must_use]
    pub fn because(mut self, reason: &str) -> Self {
        self.reason = Some(cut(reason, MAX_REASON_BYTES));
        self
    }

    /// The line, with its end; nothing where it would be longer than [`MAX_LINE_BYTES`].
    #[must_use]
    pub fn line(&self) -> Option<Vec<u8>> {
        let mut line = serde_json::to_vec(self).ok()?;
        line.push(b'\n');
        (line.len() <= MAX_LINE_BYTES).then_some(line)
    }

    /// Reads a line. Where a record was cut off, as on a full disk, the one behind it in the same line is read.
    #[must_use]
    pub fn read(line: &str) -> Option<Self> {
        let starts = line.match_indices("{\"time\":").map(|(at, _)| at);
        starts.filter_map(|at| serde_json::from_str(line.get(at..)?).ok()).next()
    }
}

fn cut(text: &str, bytes: usize) -> String {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or_default().to_owned()
}

/// The name of a file that was set aside; 1 is the youngest, [`KEPT_FILES`] the oldest.
#[must_use]
pub fn aside(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

/// Milliseconds since 1970 (UTC): what [`time`] writes out.
#[must_use]
pub fn since_1970_ms(at: SystemTime) -> u64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Seconds of a day.
const DAY: u64 = 86_400;

/// A time in RFC 3339, UTC, to the millisecond: `2026-11-28T22:51:17.123Z`.
#[must_use]
pub fn time(since_1970_ms: u64) -> String {
    let (seconds, ms) = (since_1970_ms / 1000, since_1970_ms % 1000);
    let (days, second) = (seconds / DAY, seconds % DAY);
    // Days are counted from 1 March of the year 0, so that a leap day is the last of its year.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::denial::{Act, Mechanism, Numbered, Process};
    use crate::path::{AbsPath, MAX_COMPONENT_BYTES, MAX_PATH_BYTES};
    use crate::policy::explain::Edit;
    use crate::policy::{Access, Layer, Operation, Origin, Place};

    #[test]
    fn times_are_those_of_the_calendar_and_sort_as_text() {
        let cases = [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_709_164_800_000, "2024-02-29T00:00:00.000Z"),
            (1_735_689_599_000, "2024-12-31T23:59:59.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ];
        for (ms, expected) in cases {
            assert_eq!(time(ms), expected);
        }
        assert!(cases.is_sorted_by_key(|(_, text)| *text));
    }

    #[test]
    fn the_longest_denial_is_one_bounded_line_without_its_edit() {
        let odd = "\u{1}".repeat(5000);
        let place = Place { file: odd.clone(), line: u32::MAX, column: u32::MAX };
        let (profile, rule) = (odd.clone(), odd.clone());
        let exe = Some(ByteString::from(odd.as_str()));
        let denial = Denial {
            operation: Act::RemoveDirectory,
            target: odd.as_str().into(),
            access: Some(Operation::Write),
            mechanism: Mechanism::NetworkGate,
            origin: Some(Origin { layer: Layer::Requirements, profile, place: Some(place), rule }),
            count: u64::MAX,
            time: time(0),
            process: Some(Process { pid: u32::MAX, numbered: Numbered::ByHost, command: exe.clone(), exe }),
            edit: Some(Edit::Add { table: odd.clone(), line: odd.clone(), file: Some(odd.clone()) }),
            option: None,
            reason: Some(odd.clone()),
        };
        let mut record = Record::new(time(0), (u32::MAX, u32::MAX), Action::Deny, By::ServerPart).about(
            &odd,
            record_digest(),
            &denial,
        );
        (record.pid, record.times) = (Some(i32::MIN), Some(u64::MAX));
        let line = String::from_utf8(record.line().unwrap()).unwrap();
        assert_eq!(Record::read(&line), Some(record.clone()));
        assert_eq!(record.denial.unwrap().edit, None);
    }

    fn longest() -> Record {
        let odd = "\u{1}".repeat(5000);
        let mut argv: Vec<ByteString> = vec![ByteString::from(""); MAX_ARGUMENTS - 1];
        argv.push(ByteString::from(odd.as_str()));
        argv.push(ByteString::from("more"));
        let digest = serde_json::from_value(serde_json::Value::String("0".repeat(64))).unwrap();
        let mut record = Record::new(time(0), (u32::MAX, u32::MAX), Action::TurnAway, By::ServerPart)
            .with_command(&odd, digest, &argv)
            .because(&odd);
        record.way = Some("user-namespace".to_owned());
        record.pid = Some(i32::MIN);
        record.end = Some(End::TimedOut { limit_ms: u64::MAX });
        record
    }

    /// A lease that grants so many of the longest paths, with all else as long as it may be.
    fn leased(paths: usize) -> Record {
        let name = "\u{1}".repeat(MAX_COMPONENT_BYTES);
        let path =
            AbsPath::parse(format!("/{name}").repeat(MAX_PATH_BYTES / (MAX_COMPONENT_BYTES + 1))).unwrap();
        let odd = "\u{1}".repeat(5000);
        longest().about_lease(LeaseRecord {
            id: Some(u64::MAX),
            context: u64::MAX,
            reach: Reach::Context,
            thread: Some(odd.clone()),
            turn: Some(odd),
            grants: vec![Grant::Path { path, access: Access::Write }; paths],
            until: time(0),
        })
    }

    #[test]
    fn a_lease_is_recorded_with_all_that_it_grants_or_not_at_all() {
        let record = leased(1);
        let line = String::from_utf8(record.line().unwrap()).unwrap();
        assert_eq!(Record::read(&line), Some(record));
        assert!(leased(3).line().is_none());
    }

    #[test]
    fn the_longest_record_is_one_bounded_line_and_comes_back() {
        let record = longest();
        assert!(record.argv_cut);
        let line = String::from_utf8(record.line().unwrap()).unwrap();
        assert_eq!((line.matches('\n').count(), line.ends_with('\n')), (1, true));
        assert_eq!(Record::read(&line), Some(record.clone()));
        let not_text = record.with_command("p", record_digest(), &[ByteString(vec![0xff; 5000])]);
        assert!(not_text.line().is_some());
    }

    fn record_digest() -> Digest {
        serde_json::from_value(serde_json::Value::String("f".repeat(64))).unwrap()
    }

    #[test]
    fn a_record_behind_one_that_was_cut_off_is_read() {
        let whole = Record::new(time(5), (1, 2), Action::Admit, By::Supervisor);
        let line = String::from_utf8(whole.line().unwrap()).unwrap();
        for cut in 1..line.len() - 1 {
            assert_eq!(Record::read(&format!("{}{line}", &line[..cut])), Some(whole.clone()), "{cut}");
        }
        assert_eq!(Record::read("{\"time\":"), None);
        assert_eq!(Record::read(""), None);
    }

    #[test]
    fn names_are_those_of_the_records() {
        for action in Action::ALL {
            assert_eq!(serde_json::to_value(action).unwrap(), action.name());
        }
    }
}
