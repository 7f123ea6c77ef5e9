#include "reward/code.h"

#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <string_view>
#include <thread>

#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "reward/columns.h"
#include "reward/normalise.h"
#include "reward/program_text.h"

namespace temper {
namespace {

constexpr const char* kBlank = " \t\r\v\f";

std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    lines.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return lines;
}

// A text of assert lines alone is a test a line; any other is one test.
std::vector<std::string> tests_in(const std::string& text) {
  std::vector<std::string> tests;
  for (const std::string_view line : lines_of(text)) {
    if (trimmed(line).empty()) continue;
    if (!line.starts_with("assert ") && !line.starts_with("assert(")) return {text};
    tests.emplace_back(line);
  }
  return tests;
}

std::string random_word() {
  uint64_t bits = 0;  // not of a counter-based stream: nobody may know it before, and no result depends on it
  if (::getrandom(&bits, sizeof bits, 0) != static_cast<ssize_t>(sizeof bits)) bug("getrandom failed");
  return fmt::format("{:016x}", bits);
}

bool has_line(const std::string& text, const std::string& begin) {
  return text.starts_with(begin) || text.find("\n" + begin) != std::string::npos;
}

// From the worst to the best, section 3.2 of CodeRL (arXiv 2207.01780).
enum class Outcome { kBroken, kError, kFailed, kPassed };
constexpr const char* kOutcomes[] = {"compile_error", "runtime_error", "failed_test", "passed"};
constexpr double kCodeRl[] = {-1.0, -0.6, -0.3, 1.0};

// How a test, or the compiler, went.
struct Ran {
  Outcome outcome;
  std::string text;  // as program_text() has it
};

struct Test {
  std::string appended;                    // to the program
  std::string input;                       // on its standard input
  std::optional<std::string> output = {};  // that it has to print
};

class Code : public Reward {
 public:
  explicit Code(const CodeOptions& o) : o_(o), workers_(static_cast<size_t>(o.workers)) {
    o_.limits.output_bytes = o.output_kb << 10;
    if (workers_ == 0) workers_ = std::max(1u, std::thread::hardware_concurrency());
    const SandboxGuards guards = sandbox_guards(o_.command[0]);
    if (!o_.compile_command.empty()) sandbox_guards(o_.compile_command[0]);
    if (!guards.files)
      log_warning(
          "reward code: this system has no Landlock, so the programs that are run can read and write what {} "
          "may; they have no network",
          guards.own_user ? "anybody" : "this user");
    if (::geteuid() == 0 && !guards.own_user)
      log_info(
          "reward code: programs run as root without its powers, not as a user of their own, which could not "
          "run {} here",
          o_.command[0]);
  }

  std::vector<Score> score(const std::vector<RewardItem>& items) override {
    std::vector<Score> scores(items.size());
    std::atomic<size_t> next{0};
    std::atomic<bool> stop{false};
    std::exception_ptr failure;
    std::mutex mutex;
    const auto work = [&] {
      try {
        for (size_t i; (i = next++) < items.size() && !stop;) scores[i] = score_one(items[i]);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!failure) failure = std::current_exception();
        stop = true;
      }
    };
    std::vector<std::thread> threads;
    for (size_t i = 1; i < std::min(workers_, items.size()); ++i) threads.emplace_back(work);
    work();
    for (std::thread& thread : threads) thread.join();
    if (failure) std::rethrow_exception(failure);
    return scores;
  }

  std::vector<std::string> outcomes() const override { return {std::begin(kOutcomes), std::end(kOutcomes)}; }
  bool each_alone() const override { return true; }
  bool external() const override { return true; }
  void interrupt() override { interrupted_ = true; }
  std::map<std::string, int64_t> counters() const override {
    return {{"programs", programs_}, {"timeouts", timeouts_}, {"over_limits", over_limits_}};
  }

  std::optional<std::string> check(const Json& columns) const override {
    std::vector<Test> tests;
    return tests_of(&columns, tests);
  }

  Json read(const RewardItem& item) const override { return {{"program", program_of(item)}}; }

 private:
  std::string program_of(const RewardItem& item) const {
    if (o_.extract == "all") return item.completion;
    return last_block(item.completion, o_.languages).value_or(item.completion);
  }

  // Why the record's completions can have no score; nullopt: they can. Throws UserError for a lack of
  // columns.
  std::optional<std::string> tests_of(const Json* columns, std::vector<Test>& tests) const {
    const bool in = has_column(columns, o_.inputs), out = has_column(columns, o_.outputs);
    const bool lines = has_column(columns, o_.tests);
    if (!lines && !in && !out) {
      std::string have;
      if (columns != nullptr && columns->is_object()) {
        for (const auto& [key, value] : columns->items()) have += (have.empty() ? "" : ", ") + key;
      }
      user_error(
          "reward code: the data has neither a column \"{}\" nor \"{}\" and \"{}\"; the record has: {}; set "
          "\"tests\", or \"inputs\" and \"outputs\", to its columns",
          o_.tests, o_.inputs, o_.outputs, have.empty() ? "none" : have);
    }
    if (lines) {
      for (const std::string& text : column_texts(columns, o_.tests, "code")) {
        for (std::string& test : tests_in(text)) {
          if (test.find_first_not_of(" \t\r\n") != std::string::npos) tests.push_back({std::move(test), ""});
        }
      }
    }
    if (in || out) {
      const auto inputs = column_texts(columns, o_.inputs, "code");
      const auto outputs = column_texts(columns, o_.outputs, "code");
      if (inputs.size() != outputs.size())
        return fmt::format("column \"{}\" has {} texts and \"{}\" has {}", o_.inputs, inputs.size(),
                           o_.outputs, outputs.size());
      for (size_t i = 0; i < inputs.size(); ++i) tests.push_back({"", inputs[i], outputs[i]});
    }
    if (!tests.empty()) return std::nullopt;
    return fmt::format("column \"{}\" lists nothing", lines ? o_.tests : o_.inputs);
  }

  Score score_one(const RewardItem& item) {
    std::vector<Test> tests;
    if (tests_of(item.columns, tests)) return std::nullopt;
    const std::string program = program_of(item);
    const bool coderl = o_.score == "coderl", share = o_.score == "share";
    std::optional<Ran> worst = coderl ? broken(program) : std::nullopt;
    const bool tested = !worst;
    size_t passed = 0;
    for (size_t i = 0; tested && i < tests.size(); ++i) {
      Ran ran = run(program, tests[i]);
      passed += ran.outcome == Outcome::kPassed ? 1 : 0;
      if (!worst || ran.outcome < worst->outcome) worst = std::move(ran);
      // What is left could change nothing.
      if (coderl ? worst->outcome == Outcome::kError : !share && worst->outcome != Outcome::kPassed) break;
    }
    if (!coderl && worst->outcome == Outcome::kError) {
      if (std::optional<Ran> why = broken(program)) worst = std::move(why);
    }
    const auto outcome = static_cast<size_t>(worst->outcome);
    Score score = worst->outcome == Outcome::kPassed ? 1.0 : 0.0;
    if (share) score = static_cast<double>(passed) / static_cast<double>(tests.size());
    if (coderl) score = kCodeRl[outcome];
    score.text = std::move(worst->text);
    score.outcome = kOutcomes[outcome];
    return score;
  }

  // What the compiler says of a program that it refuses.
  std::optional<Ran> broken(const std::string& program) {
    if (o_.compile_command.empty()) return std::nullopt;
    const SandboxResult result = sandboxed(o_.compile_command, program, "");
    if (result.good()) return std::nullopt;
    return Ran{Outcome::kBroken, program_text(result)};
  }

  Ran run(const std::string& program, const Test& test) {
    if (test.output) {
      const SandboxResult result = sandboxed(o_.command, program, test.input);
      const bool same = result.good() && same_output(result.out, *test.output);
      return {!result.good() ? Outcome::kError
              : same         ? Outcome::kPassed
                             : Outcome::kFailed,
              program_text(result)};
    }
    // A program that leaves before its tests has not passed them, whatever its exit code: behind them it
    // prints a word that nobody knew, and that its text does not hold in one piece.
    const std::string a = random_word(), b = random_word();
    std::string finish = o_.finish;
    replace_all(finish, "{a}", a);
    replace_all(finish, "{b}", b);
    const SandboxResult result =
        sandboxed(o_.command, program + "\n\n" + test.appended + "\n" + finish + "\n", "");
    const bool finished = finish.empty() || has_line(result.out, a + b);
    const bool failed =
        !o_.failure.empty() && result.end == SandboxEnd::kExit && has_line(result.err, o_.failure);
    const Outcome bad = failed ? Outcome::kFailed : Outcome::kError;
    return {result.good() && finished ? Outcome::kPassed : bad,
            // The words are other ones in every run.
            program_text(result, {"\n" + a + b + "\n", a + b + "\n", a, b})};
  }

  SandboxResult sandboxed(std::vector<std::string> command, const std::string& program,
                          const std::string& input) {
    command.push_back(o_.file);
    SandboxResult result = run_sandboxed(o_.limits, command, input, {{o_.file, program}}, &interrupted_);
    if (interrupted_) user_error("reward code: interrupted");
    ++programs_;
    timeouts_ += result.end == SandboxEnd::kTime ? 1 : 0;
    const bool over = result.end == SandboxEnd::kOutput || result.end == SandboxEnd::kFolder ||
                      result.end == SandboxEnd::kProcesses;
    over_limits_ += over ? 1 : 0;
    return result;
  }

  CodeOptions o_;
  size_t workers_;
  std::atomic<bool> interrupted_ = false;  // by another thread, for good
  std::atomic<int64_t> programs_ = 0, timeouts_ = 0, over_limits_ = 0;
};

}  // namespace

std::optional<std::string> last_block(const std::string& text, const std::vector<std::string>& languages) {
  std::optional<std::string> found;
  std::string block;
  size_t open = 0;  // backticks of the fence that is open
  bool wanted = false;
  for (const std::string_view line : lines_of(text)) {
    const std::string_view bare = trimmed(line);
    const size_t ticks = std::min(bare.find_first_not_of('`'), bare.size());
    if (open == 0 && ticks >= 3) {
      const std::string_view info = trimmed(bare.substr(ticks));
      if (info.find('`') != std::string_view::npos) continue;  // a span of code in one line
      std::string language(info.substr(0, info.find_first_of(" \t{,:")));
      std::transform(language.begin(), language.end(), language.begin(),
                     [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
      open = ticks;
      wanted = std::find(languages.begin(), languages.end(), language) != languages.end();
      block.clear();
    } else if (open != 0 && ticks >= open && ticks == bare.size()) {
      if (wanted) found = block;
      open = 0;
    } else if (open != 0) {
      (block += line) += '\n';
    }
  }
  if (open != 0 && wanted) found = block;
  return found;
}

bool same_output(const std::string& found, const std::string& wanted) {
  std::vector<std::string_view> a = lines_of(found), b = lines_of(wanted);
  for (auto* lines : {&a, &b}) {
    for (std::string_view& line : *lines) line = trimmed(line);
    while (!lines->empty() && lines->back().empty()) lines->pop_back();
  }
  return a == b;
}

void CodeOptions::fields(FieldVisitor& v) {
  v.field(
      "extract", extract,
      {.help = "the program: the last ``` block of one of `languages` (the whole text when there is none), "
               "or all of the completion",
       .choices = {"block", "all"}});
  v.field("languages", languages, {.help = "of blocks, in small letters; \"\": a block that names none"});
  v.field(
      "score", score,
      {.help = "all: 1 when every test passes, else 0; share: of the tests that pass; coderl: 1, -0.3 when "
               "a test fails, -0.6 when the program ends with an error or at a limit, -1 when it does not "
               "compile, and the worst of all tests counts",
       .choices = {"all", "share", "coderl"}});
  v.field(
      "tests", tests,
      {.help = "the column with the tests that are appended to the program, each for a process of its own: "
               "a text, or an array of them; a text of assert lines alone is a test a line"});
  v.field("inputs", inputs, {.help = "the column with what the program reads, an element a test"});
  v.field("outputs", outputs,
          {.help = "the column with what it has to print; blanks at the ends of lines and empty lines at the "
                   "end do not count"});
  v.field("command", command, {.help = "what runs a program; its file is appended"});
  v.field("file", file, {.help = "the file's name"});
  v.field("compile_command", compile_command,
          {.help = "fails on a file that does not compile, which is an outcome of its own; its file is "
                   "appended; empty: no such step"});
  v.field(
      "finish", finish,
      {.help = "stands behind `tests` and prints a line of {a} and {b}, two random words, in one: a program "
               "that leaves before its tests does not pass them; empty: exit code 0 is enough"});
  v.field("failure", failure,
          {.help = "how a line of standard error begins when a test failed and the program met no other "
                   "error"});
  v.field("timeout_s", limits.wall_s,
          {.help = "longest time of a test, then the program and all that it started are killed",
           .unit = "s",
           .min = 0.01,
           .max = 86400});
  v.field("cpu_s", limits.cpu_s,
          {.help = "processor time of a process", .unit = "s", .min = 1, .max = 86400});
  v.field("memory_mb", limits.memory_mb,
          {.help = "address space of a process; several may have as much each",
           .unit = "MB",
           .min = 16,
           .max = 1 << 20});
  v.field(
      "processes", limits.processes,
      {.help = "processes and threads at a time; not exact for users other than root, as the kernel counts "
               "all of the user's",
       .min = 1,
       .max = 10000});
  v.field("file_mb", limits.file_mb, {.help = "largest file", .unit = "MB", .min = 1, .max = 1 << 20});
  v.field("folder_mb", limits.folder_mb,
          {.help = "all files of a program, about", .unit = "MB", .min = 1, .max = 1 << 20});
  v.field("open_files", limits.open_files, {.help = "of a process", .min = 8, .max = 1 << 16});
  v.field("output_kb", output_kb,
          {.help = "longest standard output, and standard error; a program that writes more is killed",
           .unit = "kB",
           .min = 1,
           .max = 1 << 20});
  v.field(
      "readable", limits.readable,
      {.help = "files and folders that programs may read besides /usr, /opt, the system's libraries and the "
               "folder above the interpreter's bin; other files are out of reach where the kernel has "
               "Landlock (5.13), else a program may read what this user may"});
  v.field("workers", workers, {.help = "programs at a time; 0: one a processor", .min = 0, .max = 4096});
}

void CodeOptions::check(std::vector<std::string>& problems, const std::string& where) const {
  if (command.empty() || command[0].empty())
    problems.push_back(where + ".command: missing; expected a program and its arguments, as [\"python3\"]");
  if (file.empty() || file == "." || file == ".." || file.find('/') != std::string::npos)
    problems.push_back(where + ".file: expected a file's name without a folder, as \"program.py\"");
  if (!command.empty() && compile_command == python_compiles() && command[0].find("py") == std::string::npos)
    problems.push_back(where + ".compile_command: is Python's, but the command is " + command[0] +
                       "; expected what compiles for that, or [] for no such step");
  if (!finish.empty() &&
      (finish.find("{a}") == std::string::npos || finish.find("{b}") == std::string::npos ||
       finish.find("{a}{b}") != std::string::npos))
    problems.push_back(where +
                       ".finish: expected {a} and {b}, apart from each other, or the program's text "
                       "holds the line that is looked for");
}

std::vector<std::string> CodeOptions::python_compiles() {
  return {"python3", "-I", "-B", "-c",
          "import sys; compile(open(sys.argv[1], 'rb').read(), sys.argv[1], 'exec')"};
}

std::unique_ptr<Reward> CodeOptions::make() const {
  return std::make_unique<Code>(*this);
}

}  // namespace temper
