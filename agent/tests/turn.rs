//! Turns with a model and tools that do as they are told, in paused time: what is asked, what is kept, how it ends.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[allow(dead_code, reason = "shared with the tests of threads")]
#[path = "support/talk.rs"]
mod talk;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use futures_util::stream;
use serde_json::json;
use tokio::sync::mpsc;
use weir_agent::approval::Approval;
use weir_agent::item::{CallId, Did, Item, ToolOutcome, Usage};
use weir_agent::model::{Account, Event, Events, Model, ModelError, Prompt, Provider, Retries, Stop};
use weir_agent::thread::{Keeping, MAX_LINE_BYTES, Settings, TurnId, TurnStatus};
use weir_agent::tool::{Observer, Progress, ToolSchema};
use weir_agent::turn::{Asked, Awaited, Call, Conversation, Ended, Seen, Tools, Turn, WORDS, Watch, Word};

/// What the model does when it is asked.
enum Does {
    /// Answers.
    Says(Vec<Item>),
    /// Answers at a length of so many tokens.
    SaysMuch(u64, Vec<Item>),
    /// Writes this and breaks off.
    BreaksOff(&'static str),
    /// Writes this and then nothing more.
    Hangs(&'static str),
    /// Says this, writes this and then nothing more.
    HangsBehind(&'static str, &'static str),
    /// Does not answer.
    Fails(ModelError),
    /// Says this, and stops for another reason than that all is said.
    Stops(Stop, Vec<Item>),
}

#[derive(Default)]
struct Scripted {
    script: RefCell<VecDeque<Does>>,
    /// What it was told, each time.
    told: RefCell<Vec<Vec<Item>>>,
}

impl Scripted {
    fn new(script: impl IntoIterator<Item = Does>) -> Self {
        Self { script: RefCell::new(script.into_iter().collect()), told: RefCell::default() }
    }

    fn next(&self, prompt: &Prompt<'_>) -> Result<Events, ModelError> {
        self.told.borrow_mut().push(prompt.items.to_vec());
        let stopped = |stop: Stop, input: u64, items: Vec<Item>| -> Events {
            let usage = Usage { input, output: 2, reasoning_output: 1, ..Usage::default() };
            let end = [Event::Usage(usage), Event::Done { stop }];
            Box::pin(stream::iter(items.into_iter().map(Event::Item).chain(end).map(Ok)))
        };
        let whole = |input: u64, items: Vec<Item>| stopped(Stop::End, input, items);
        let does = self.script.borrow_mut().pop_front();
        match does.unwrap_or_else(|| panic!("asked once more")) {
            Does::Says(items) => Ok(whole(10, items)),
            Does::SaysMuch(input, items) => Ok(whole(input, items)),
            Does::BreaksOff(text) => {
                Ok(Box::pin(stream::iter([Ok(Event::Text(text.to_owned())), Err(ModelError::CutShort)])))
            }
            Does::Hangs(text) => {
                use futures_util::StreamExt as _;
                Ok(Box::pin(stream::iter([Ok(Event::Text(text.to_owned()))]).chain(stream::pending())))
            }
            Does::HangsBehind(whole, text) => {
                use futures_util::StreamExt as _;
                let said =
                    [Event::Text(whole.to_owned()), Event::Item(says(whole)), Event::Text(text.to_owned())];
                Ok(Box::pin(stream::iter(said.map(Ok)).chain(stream::pending())))
            }
            Does::Fails(error) => Err(error),
            Does::Stops(stop, items) => Ok(stopped(stop, 10, items)),
        }
    }
}

impl Provider for Scripted {
    fn id(&self) -> &'static str {
        "scripted"
    }

    fn retries(&self) -> Retries {
        Retries { request: 2, stream: 2 }
    }

    fn models(&self) -> LocalBoxFuture<'_, Result<Vec<Model>, ModelError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn account(&self) -> LocalBoxFuture<'_, Result<Account, ModelError>> {
        Box::pin(async { Ok(Account::Local) })
    }

    fn respond<'a>(&'a self, prompt: &'a Prompt<'a>) -> LocalBoxFuture<'a, Result<Events, ModelError>> {
        Box::pin(async move { self.next(prompt) })
    }
}

/// How long a call that is slow takes to end when it is interrupted, and how long a person waits.
const SLOW: Duration = Duration::from_secs(3600);
const PATIENCE: Duration = Duration::from_secs(7200);

/// More than a record may have.
const MUCH_BYTES: usize = 20_000_000;

async fn passed(time: Duration) {
    let _ = tokio::time::timeout(time, std::future::pending::<()>()).await;
}

/// Tools that wait for each other or for ever, and count who is gone.
#[derive(Default)]
struct Bench {
    running: Cell<usize>,
    most: Cell<usize>,
    dropped: Cell<usize>,
    meeting: tokio::sync::Notify,
    interrupted: tokio::sync::Notify,
}

/// Counts a call while it is carried out, and when it is dropped before its end.
struct Present<'a>(&'a Bench, Cell<bool>);

impl Drop for Present<'_> {
    fn drop(&mut self) {
        self.0.running.set(self.0.running.get() - 1);
        if !self.1.get() {
            self.0.dropped.set(self.0.dropped.get() + 1);
        }
    }
}

impl Tools for Bench {
    fn schemas(&self) -> Vec<ToolSchema> {
        let tool = |name| ToolSchema { name, description: "a tool", parameters: json!({ "type": "object" }) };
        vec![tool("meet"), tool("hang"), tool("echo"), tool("heed"), tool("slow"), tool("tell")]
    }

    fn begin(&self, _turn: TurnId) {}

    fn call<'a>(&'a self, call: &'a Call, observer: Observer<'a>) -> LocalBoxFuture<'a, ToolOutcome> {
        Box::pin(async move {
            self.running.set(self.running.get() + 1);
            self.most.set(self.most.get().max(self.running.get()));
            let present = Present(self, Cell::new(false));
            match call.tool.as_str() {
                // Two meet: the first waits for the second.
                "meet" if self.running.get() == 2 => self.meeting.notify_one(),
                "meet" => self.meeting.notified().await,
                "hang" => {
                    let argv = ["sleep".to_owned(), "forever".to_owned()];
                    observer(Progress::Started { process: 7, argv: &argv });
                    observer(Progress::Output(b"so far"));
                    std::future::pending::<()>().await;
                }
                "heed" => self.interrupted.notified().await,
                "slow" => {
                    let argv = ["slow".to_owned()];
                    observer(Progress::Started { process: 8, argv: &argv });
                    self.interrupted.notified().await;
                    passed(SLOW).await;
                }
                _ => {}
            }
            present.1.set(true);
            if call.tool == "tell" {
                return ToolOutcome::failed("\u{1}".repeat(MUCH_BYTES));
            }
            ToolOutcome { told: format!("{} did", call.id), did: Did::Read }
        })
    }

    fn interrupt(&self) {
        self.interrupted.notify_waiters();
    }
}

/// Remembers what was seen, in a word each; says a word to the turn when it sees one.
#[derive(Default)]
struct Watcher {
    seen: RefCell<Vec<String>>,
    /// What an interrupted turn waited for, each time it said so, and for how long already.
    awaited: RefCell<Vec<(Vec<Awaited>, Duration)>>,
    on: RefCell<Option<(&'static str, Word)>>,
    say: Option<mpsc::Sender<Word>>,
}

impl Watch for Watcher {
    fn see(&self, seen: Seen<'_>) {
        let word = match seen {
            Seen::Text(_) => "text".to_owned(),
            Seen::Again { attempt, .. } => format!("again{attempt}"),
            Seen::Compacting => "compacting".to_owned(),
            Seen::CallStarted { call, .. } => format!("+{}", call.id),
            Seen::CallProgress { .. } => "progress".to_owned(),
            Seen::CallEnded { call, .. } => format!("-{}", call.id),
            Seen::TurnEnded { ended } => format!("{:?}", ended.status).split(' ').next().unwrap().to_owned(),
            Seen::Interrupting { awaited, since } => {
                self.awaited.borrow_mut().push((awaited.iter().map(|one| (*one).clone()).collect(), since));
                return;
            }
            _ => return,
        };
        if self.on.borrow().as_ref().is_some_and(|(on, _)| *on == word)
            && let Some((_, said)) = self.on.take()
        {
            self.say.as_ref().unwrap().try_send(said).unwrap();
        }
        self.seen.borrow_mut().push(word);
    }
}

struct Run {
    provider: Scripted,
    bench: Bench,
    watcher: Watcher,
    compact_above: Option<u64>,
    on: Option<(&'static str, Word)>,
}

struct Outcome {
    ended: Ended,
    items: Vec<Item>,
    told: Vec<Vec<Item>>,
    seen: String,
    awaited: Vec<(Vec<Awaited>, Duration)>,
    bench: Bench,
    took: Duration,
}

/// What is left of a turn that was given up.
struct GivenUp {
    items: Vec<Item>,
    unfinished: Option<TurnId>,
    bench: Bench,
}

impl Run {
    fn new(script: impl IntoIterator<Item = Does>) -> Self {
        Self {
            provider: Scripted::new(script),
            bench: Bench::default(),
            watcher: Watcher::default(),
            compact_above: None,
            on: None,
        }
    }

    /// Says a word when something is seen.
    fn saying(mut self, on: &'static str, word: Word) -> Self {
        self.on = Some((on, word));
        self
    }

    fn go(self) -> Outcome {
        self.play(|run, conversation, ended, took| {
            // What is kept is what the model is told.
            assert_eq!(conversation.thread().items().unwrap(), conversation.items());
            assert_eq!(conversation.thread().unfinished(), None);
            Outcome {
                ended: ended.unwrap(),
                items: conversation.items().to_vec(),
                told: run.provider.told.take(),
                seen: run.watcher.seen.take().join(" "),
                awaited: run.watcher.awaited.take(),
                bench: run.bench,
                took,
            }
        })
    }

    /// Where the person does not wait for the end.
    fn give_up(self) -> GivenUp {
        self.play(|run, conversation, ended, _| {
            assert_eq!(ended, None);
            GivenUp {
                items: conversation.items().to_vec(),
                unfinished: conversation.thread().unfinished(),
                bench: run.bench,
            }
        })
    }

    fn play<T>(mut self, over: impl FnOnce(Self, Conversation, Option<Ended>, Duration) -> T) -> T {
        let home = tempfile::tempdir().unwrap();
        let thread = talk::store(home.path()).create(talk::new("/work", Keeping::Memory)).unwrap();
        let settings = Settings {
            cwd: thread.meta().cwd.clone(),
            model: "m".to_owned(),
            provider: "scripted".to_owned(),
            effort: None,
            approval: Approval::Never,
            digest: thread.bound().digest,
        };
        let (say, mut words) = mpsc::channel(WORDS);
        self.watcher.say = Some(say);
        self.watcher.on = RefCell::new(self.on.take());
        let asked = Asked {
            model: "m",
            instructions: "be",
            effort: None,
            output_schema: None,
            compact_above: self.compact_above,
        };
        let mut conversation = Conversation::new(thread).unwrap();
        let turn = Turn { provider: &self.provider, tools: &self.bench, watch: &self.watcher, asked };
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let (ended, took) = runtime.block_on(async {
            let begin = tokio::time::Instant::now();
            let running = turn.run(&mut conversation, settings, "go".to_owned(), &mut words);
            let ended = tokio::time::timeout(PATIENCE, running).await.ok().map(Result::unwrap);
            (ended, begin.elapsed())
        });
        over(self, conversation, ended, took)
    }
}

fn says(text: &str) -> Item {
    Item::AgentMessage { text: text.to_owned() }
}

fn user(text: &str) -> Item {
    Item::UserMessage { text: text.to_owned() }
}

fn calls(id: &str, tool: &str, arguments: &str) -> Item {
    Item::ToolCall { call: CallId(id.to_owned()), tool: tool.to_owned(), arguments: arguments.to_owned() }
}

fn results(items: &[Item]) -> Vec<(String, String)> {
    let result = |item: &Item| match item {
        Item::ToolResult { call, outcome } => Some((call.0.clone(), outcome.told.clone())),
        _ => None,
    };
    items.iter().filter_map(result).collect()
}

fn failed(ended: &Ended) -> &str {
    match &ended.status {
        TurnStatus::Failed { message } => message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn calls_of_one_answer_are_carried_out_at_once() {
    let both = vec![says("two"), calls("a", "meet", "{}"), calls("b", "meet", "{}")];
    let outcome = Run::new([Does::Says(both), Does::Says(vec![says("done")])]).go();
    assert_eq!(outcome.ended.status, TurnStatus::Completed);
    assert_eq!(outcome.bench.most.get(), 2);
    assert_eq!(results(&outcome.items).len(), 2);
    let expect = Usage { input: 20, output: 4, reasoning_output: 2, ..Usage::default() };
    assert_eq!((outcome.ended.usage, outcome.ended.total), (expect, expect));
    // The results are told, each once, before the model speaks again.
    assert_eq!(results(&outcome.told[1]).len(), 2);
    assert_eq!(outcome.seen, "+a +b -b -a Completed");
}

#[test]
fn what_cannot_be_carried_out_goes_back_to_the_model() {
    let wrong = vec![calls("a", "fly", "{}"), calls("b", "echo", "{\"x\":"), calls("c", "echo", "[1]")];
    let outcome = Run::new([
        Does::Says(wrong),
        Does::Says(vec![calls("d", "echo", "{}")]),
        Does::Says(vec![says("ok")]),
    ])
    .go();
    let told = results(&outcome.items);
    let of = |id: &str| told.iter().find(|(call, _)| call == id).unwrap().1.clone();
    assert!(of("a").contains("no tool \"fly\"") && of("a").contains("meet, hang, echo"), "{}", of("a"));
    assert!(of("b").contains("no JSON object"), "{}", of("b"));
    assert!(of("c").contains("no JSON object"), "{}", of("c"));
    assert_eq!(of("d"), "d did");
    assert_eq!(outcome.ended.status, TurnStatus::Completed);
    assert_eq!(outcome.items[2], calls("b", "echo", "{\"x\":"), "kept as the model wrote it");
}

#[test]
fn a_result_that_is_longer_than_a_record_is_shortened_and_says_so() {
    let outcome =
        Run::new([Does::Says(vec![calls("a", "tell", "{}")]), Does::Says(vec![says("I see")])]).go();
    assert_eq!(outcome.ended.status, TurnStatus::Completed);
    let (_, told) = &results(&outcome.items)[0];
    let left_out = MUCH_BYTES - told.matches('\u{1}').count();
    assert!(told.contains(&format!("[… {left_out} bytes left out …]")) && left_out > 0);
    let result = serde_json::to_string(&outcome.items[2]).unwrap();
    assert!(result.len() < MAX_LINE_BYTES - 1024, "{} bytes", result.len());
}

#[test]
fn an_interruption_waits_for_the_end_of_every_call_and_says_so() {
    let all = [calls("a", "slow", "{}"), calls("b", "heed", "{}"), calls("c", "echo", "{}")];
    let outcome = Run::new([Does::Says(all.to_vec())]).saying("-c", Word::Interrupt).go();
    assert_eq!((&outcome.ended.status, outcome.took), (&TurnStatus::Interrupted, SLOW));
    let told = results(&outcome.items);
    let expect = ["c", "b", "a"].map(|id| (id.to_owned(), format!("{id} did")));
    assert_eq!(told, expect);
    assert_eq!((outcome.bench.dropped.get(), outcome.bench.running.get()), (0, 0));
    assert_eq!(outcome.seen, "+a +b +c progress -c -b -a Interrupted");
    let (first, since) = &outcome.awaited[0];
    assert_eq!(first, &[Awaited::Command { process: 8, argv: vec!["slow".to_owned()] }]);
    assert_eq!(*since, Duration::ZERO);
    let (last, since) = outcome.awaited.last().unwrap();
    assert!(last == first && *since > SLOW / 2, "it is said again: {since:?}");
}

#[test]
fn who_does_not_wait_for_that_leaves_what_can_be_completed() {
    let two = vec![calls("a", "hang", "{}"), calls("b", "echo", "{}")];
    let left = Run::new([Does::Says(two.clone())]).saying("-b", Word::Interrupt).give_up();
    assert_eq!((left.bench.dropped.get(), left.bench.running.get()), (1, 0));
    assert_eq!(left.items[1..3], two);
    assert_eq!(results(&left.items), [("b".to_owned(), "b did".to_owned())]);
    assert!(left.unfinished.is_some());
}

#[test]
fn a_call_that_waits_for_its_turn_is_not_begun_by_an_interruption() {
    let many = (0..20).map(|number| calls(&format!("c{number}"), "heed", "{}"));
    let all: Vec<_> = many.chain([calls("d", "echo", "{}")]).collect();
    let outcome = Run::new([Does::Says(all)]).saying("+d", Word::Interrupt).go();
    assert_eq!((outcome.ended.status, outcome.bench.most.get()), (TurnStatus::Interrupted, 0));
    assert_eq!(results(&outcome.items).len(), 21);
}

#[test]
fn an_interruption_keeps_what_the_model_had_written() {
    let outcome = Run::new([Does::Hangs("I wou")]).saying("text", Word::Interrupt).go();
    assert_eq!(outcome.ended.status, TurnStatus::Interrupted);
    assert_eq!(outcome.items, [user("go"), says("I wou")]);
    // Also what is complete in an answer that is not.
    for (rest, expect) in
        [("", vec![user("go"), says("I look.")]), ("I s", vec![user("go"), says("I look."), says("I s")])]
    {
        let outcome = Run::new([Does::HangsBehind("I look.", rest)]).saying("text", Word::Interrupt).go();
        assert_eq!((&outcome.ended.status, outcome.items), (&TurnStatus::Interrupted, expect));
    }
}

#[test]
fn a_word_is_heard_before_the_model_is_asked_again() {
    let script = [Does::Says(vec![calls("a", "echo", "{}")]), Does::Says(vec![says("turned")])];
    let outcome = Run::new(script).saying("+a", Word::Steer("left".to_owned())).go();
    assert_eq!(outcome.ended.status, TurnStatus::Completed);
    assert_eq!(outcome.told[1].last(), Some(&user("left")));
    // Also where the model had nothing more to do.
    let script = [Does::BreaksOff("I"), Does::Says(vec![says("done")]), Does::Says(vec![says("turned")])];
    let outcome = Run::new(script).saying("again1", Word::Steer("right".to_owned())).go();
    assert_eq!(outcome.items[1..], [says("done"), user("right"), says("turned")]);
}

#[test]
fn a_model_that_breaks_off_is_asked_again_and_nothing_of_it_is_kept() {
    let script = [
        Does::BreaksOff("half"),
        Does::Fails(ModelError::Throttled {
            message: "wait".to_owned(),
            after: Some(Duration::from_secs(20)),
        }),
        Does::Says(vec![says("whole")]),
    ];
    let outcome = Run::new(script).go();
    assert_eq!(outcome.items, [user("go"), says("whole")]);
    assert_eq!(outcome.seen, "text again1 again2 Completed");
    assert!(outcome.took >= Duration::from_secs(20), "{:?}", outcome.took);
    let broken = || Does::BreaksOff("no");
    let outcome = Run::new([broken(), broken(), broken()]).go();
    assert!(failed(&outcome.ended).contains("ended before it was complete"), "{:?}", outcome.ended);
    assert_eq!(outcome.items, [user("go")], "the thread can go on");
    let refused = ModelError::Key { status: 401, message: "no such key".to_owned() };
    let outcome = Run::new([Does::Fails(refused)]).go();
    assert!(
        failed(&outcome.ended).contains("did not take the key (401): no such key"),
        "{:?}",
        outcome.ended
    );
    assert_eq!(outcome.told.len(), 1);
}

fn overflow() -> Does {
    Does::Fails(ModelError::ContextOverflow { message: "too long".to_owned() })
}

#[test]
fn a_conversation_that_is_too_long_is_summarized() {
    let script = [
        Does::SaysMuch(1_001, vec![calls("a", "echo", "{}")]),
        Does::Says(vec![says("we did a")]),
        Does::Says(vec![says("done")]),
    ];
    let mut run = Run::new(script);
    run.compact_above = Some(1_000);
    let outcome = run.go();
    assert_eq!(outcome.seen, "+a -a compacting Completed");
    let [Item::Compaction { summary }, done] = &outcome.items[..] else { panic!("{:?}", outcome.items) };
    assert!(summary.starts_with("we did a") && summary.ends_with("go"), "{summary}");
    assert_eq!(*done, says("done"));
    assert_eq!(outcome.told[2].len(), 1, "the summary stands for all before it");
    assert_eq!(outcome.ended.usage.input, 1_021, "what a summary costs is counted");
}

#[test]
fn a_provider_that_says_so_is_believed_even_about_the_summary() {
    // The question, the request for a summary, the same with the older half left out, the answer.
    let script = [
        Does::Says(vec![calls("a", "echo", "{}")]),
        overflow(),
        overflow(),
        Does::Says(vec![says("short")]),
        Does::Says(vec![says("done")]),
    ];
    let outcome = Run::new(script).go();
    assert_eq!(outcome.ended.status, TurnStatus::Completed);
    assert!(outcome.told[3].len() < outcome.told[2].len());
    let nothing = [overflow(), Does::Says(vec![says(" ")])];
    let outcome = Run::new(nothing).go();
    assert!(failed(&outcome.ended).contains("wrote no summary"), "{:?}", outcome.ended);
    assert_eq!(outcome.items, [user("go")], "nothing is lost for it");
}

/// What stands in a summary's place is all that the model would know from then on.
#[test]
fn a_summary_that_was_refused_or_cut_off_is_none() {
    let cut = |text: &str| Does::Stops(Stop::Length, vec![says(text)]);
    let refused = [overflow(), Does::Stops(Stop::Refused, vec![says("I cannot help with that.")])];
    let outcome = Run::new(refused).go();
    assert!(failed(&outcome.ended).contains("would not summarize"), "{:?}", outcome.ended);
    assert_eq!(outcome.items, [user("go")]);
    let again =
        [overflow(), cut("first we d"), Does::Says(vec![says("we did a")]), Does::Says(vec![says("done")])];
    let outcome = Run::new(again).go();
    assert_eq!(outcome.ended.status, TurnStatus::Completed);
    let [Item::Compaction { summary }, _] = &outcome.items[..] else { panic!("{:?}", outcome.items) };
    assert!(summary.starts_with("we did a"), "{summary}");
    assert_eq!(outcome.ended.usage.input, 30, "what was cut off is counted");
    let outcome = Run::new([overflow(), cut("first we d"), cut("first w")]).go();
    assert!(failed(&outcome.ended).contains("limit of output"), "{:?}", outcome.ended);
}

/// Who numbers calls anew in each answer does so after a summary too.
#[test]
fn a_call_of_before_a_summary_keeps_its_id_for_itself() {
    let script = [
        Does::SaysMuch(1_001, vec![calls("a", "echo", "{}")]),
        Does::Says(vec![says("we did a")]),
        Does::Says(vec![calls("a", "echo", "{}")]),
        Does::Says(vec![says("done")]),
    ];
    let mut run = Run::new(script);
    run.compact_above = Some(1_000);
    let outcome = run.go();
    assert_eq!(outcome.ended.status, TurnStatus::Completed);
    let ids: Vec<_> = outcome.items.iter().filter_map(Item::calls).map(|id| id.0.as_str()).collect();
    assert_eq!(ids, ["a-2"]);
}
