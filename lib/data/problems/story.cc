#include "data/problems/story.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace temper {
namespace {

struct Person {
  const char *name, *pronoun;
};
constexpr Person kPeople[] = {
    {"Tom", "he"},  {"Mia", "she"},  {"Ben", "he"},  {"Zoe", "she"},  {"Sam", "he"},  {"Eva", "she"},
    {"Max", "he"},  {"Lily", "she"}, {"Jack", "he"}, {"Anna", "she"}, {"Leo", "he"},  {"Ruby", "she"},
    {"Omar", "he"}, {"Nina", "she"}, {"Paul", "he"}, {"Rosa", "she"}, {"Ivan", "he"}, {"Mei", "she"},
    {"Noah", "he"}, {"Sara", "she"}, {"Hugo", "he"}, {"Tara", "she"}, {"Finn", "he"}, {"Aisha", "she"},
    {"Luis", "he"}, {"Emma", "she"}, {"Carl", "he"}, {"Dina", "she"}, {"Otto", "he"}, {"Yuki", "she"}};

struct Noun {
  std::string one, many;
};
const Noun kThings[] = {
    {"apple", "apples"},   {"pen", "pens"},         {"book", "books"},       {"coin", "coins"},
    {"card", "cards"},     {"shell", "shells"},     {"stamp", "stamps"},     {"marble", "marbles"},
    {"cookie", "cookies"}, {"sticker", "stickers"}, {"balloon", "balloons"}, {"bead", "beads"},
    {"egg", "eggs"},       {"flower", "flowers"},   {"pencil", "pencils"},   {"button", "buttons"},
    {"lemon", "lemons"},   {"peach", "peaches"},    {"toy", "toys"},         {"cup", "cups"},
    {"berry", "berries"},  {"candle", "candles"},   {"brush", "brushes"},    {"ribbon", "ribbons"}};
const Noun kPlaces[] = {
    {"box", "boxes"}, {"bag", "bags"}, {"jar", "jars"}, {"basket", "baskets"}, {"tray", "trays"}};
const Noun kMoney = {"dollar", "dollars"};
constexpr int64_t kMostTimes = 12;  // the largest factor and divisor

std::string counted(int64_t n, const Noun& noun) {
  return fmt::format("{} {}", n, n == 1 ? noun.one : noun.many);
}
std::string more(int64_t n, const Noun& noun, const char* word) {
  return fmt::format("{} {} {}", n, word, n == 1 ? noun.one : noun.many);
}
std::string times(int64_t n) {
  return n == 2 ? "twice" : fmt::format("{} times", n);
}

class Teller {
 public:
  Teller(int64_t max_number, RandomStream& random)
      : max_(max_number), random_(random), order_(random.permutation(std::size(kPeople))) {}

  std::optional<Story> tell(int64_t steps, const std::vector<char>& operations) {
    start();
    for (int64_t step = 1; step <= steps; ++step)
      if (!go_on(operations, step == steps)) return std::nullopt;
    if (question_.empty()) ask();
    return Story{text_ + question_, solution_ + fmt::format("#### {}", amount_)};
  }

 private:
  // What the number counts now.
  enum class Kind { kThing, kMoney, kFull, kPacked };  // kFull: boxes that nobody has looked into
  using Step = bool (Teller::*)();
  struct Choice {
    char operation;
    bool last;  // it asks its own question
    Step step;
  };

  int64_t number(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(random_.below(static_cast<uint64_t>(high - low + 1)));
  }
  bool coin() { return random_.below(2) == 0; }
  template <size_t N>
  const Noun& noun_of(const Noun (&nouns)[N]) {
    return nouns[random_.below(N)];
  }
  std::string any(const std::vector<std::string>& texts) { return texts[random_.below(texts.size())]; }
  const Person& another() { return kPeople[order_[next_person_++]]; }

  void start() {
    who_ = &another();
    // Small numbers, too, so that there is room to multiply.
    amount_ = number(2, std::max<int64_t>(2, max_ >> (2 * random_.below(3))));
    const uint64_t kind = random_.below(6);
    thing_ = noun_of(kThings);
    noun_ = thing_;
    if (kind == 0) {
      kind_ = Kind::kMoney;
      noun_ = kMoney;
    } else if (kind == 1) {
      kind_ = Kind::kFull;
      place_ = noun_of(kPlaces);
      noun_ = {place_.one + " of " + thing_.many, place_.many + " of " + thing_.many};
    }
    say(any({fmt::format("{} has {}.", who_->name, counted(amount_, noun_)),
             fmt::format("In the morning, {} has {}.", who_->name, counted(amount_, noun_)),
             fmt::format("{} starts with {}.", who_->name, counted(amount_, noun_))}));
    alone_ = true;
  }

  // Any of the operations that are possible here, by any of the turns that it can take.
  bool go_on(const std::vector<char>& operations, bool last) {
    static constexpr Choice kChoices[] = {
        {'+', false, &Teller::gain},        {'+', false, &Teller::have_more},
        {'+', true, &Teller::together},     {'-', false, &Teller::lose},
        {'-', false, &Teller::have_fewer},  {'-', true, &Teller::difference},
        {'*', false, &Teller::multiple},    {'*', false, &Teller::sell_all},
        {'*', false, &Teller::look_inside}, {'/', false, &Teller::share},
        {'/', false, &Teller::pack},        {'/', false, &Teller::part}};
    for (const int64_t o : random_.permutation(static_cast<int64_t>(operations.size()))) {
      for (const int64_t c : random_.permutation(std::size(kChoices))) {
        const Choice& choice = kChoices[c];
        if (choice.operation != operations[static_cast<size_t>(o)] || (choice.last && !last)) continue;
        if ((this->*choice.step)()) return true;
      }
    }
    return false;
  }

  void say(const std::string& sentence) { text_ += sentence + " "; }
  // What the owner does: by name, or by pronoun where nobody else was spoken of since.
  void act(const std::string& does) {
    const std::string when = any({"", "", "Then ", "Later, ", "After that, "});
    std::string subject = who_->name;
    if (alone_ && coin()) {
      subject = who_->pronoun;
      if (when.empty()) subject[0] = static_cast<char>(subject[0] - 'a' + 'A');
    }
    say(when + subject + " " + does);
  }
  // The equation of a step, in a sentence; {} is where it stands.
  void work_out(const std::string& before, int64_t left, char sign, int64_t right, int64_t result,
                const std::string& behind) {
    solution_ += fmt::format("{} {} {} {} = {} {}.\n", before, left, sign, right, result, behind);
  }
  void change(char sign, int64_t by, int64_t result) {
    work_out(fmt::format("{} then has", who_->name), amount_, sign, by, result, named(result));
    amount_ = result;
    compared_ = false;
  }
  std::string named(int64_t n) const { return n == 1 ? noun_.one : noun_.many; }

  // Somebody else's number, known from the owner's.
  void compare(const Person& other, char sign, int64_t by, int64_t result) {
    work_out(fmt::format("{} has", other.name), amount_, sign, by, result, named(result));
    before_ = who_;
    before_amount_ = amount_;
    who_ = &other;
    amount_ = result;
    compared_ = true;
    by_times_ = sign == '*' || sign == '/';
    alone_ = false;
  }

  bool gain() {
    if (amount_ >= max_) return false;
    const int64_t by = number(1, max_ - amount_);
    const std::string what = more(by, noun_, "more");
    if (kind_ == Kind::kPacked || coin()) {
      const Person& other = another();
      act(fmt::format("gets {} from {}.", what, other.name));
      alone_ = false;
    } else {
      act((kind_ == Kind::kMoney ? any({"earns ", "finds "}) : any({"buys ", "finds ", "wins "})) + what +
          ".");
      alone_ = true;
    }
    change('+', by, amount_ + by);
    return true;
  }

  bool have_more() {
    if (amount_ >= max_) return false;
    const int64_t by = number(1, max_ - amount_);
    const Person& other = another();
    say(fmt::format("{} has {} than {}.", other.name, more(by, noun_, "more"), who_->name));
    compare(other, '+', by, amount_ + by);
    return true;
  }

  bool lose() {
    if (amount_ < 2) return false;
    const int64_t by = number(1, amount_ - 1);
    if (coin()) {
      const Person& other = another();
      act(fmt::format("gives {} to {}.", counted(by, noun_), other.name));
      alone_ = false;
    } else {
      act((kind_ == Kind::kMoney ? any({"spends ", "loses "}) : any({"sells ", "loses "})) +
          counted(by, noun_) + ".");
      alone_ = true;
    }
    change('-', by, amount_ - by);
    return true;
  }

  bool have_fewer() {
    if (amount_ < 2) return false;
    const int64_t by = number(1, amount_ - 1);
    const Person& other = another();
    say(fmt::format("{} has {} than {}.", other.name, more(by, noun_, "fewer"), who_->name));
    compare(other, '-', by, amount_ - by);
    return true;
  }

  // A factor by which the number stays below the largest; 0: there is none.
  int64_t factor() {
    const int64_t most = std::min(kMostTimes, max_ / amount_);
    return most < 2 ? 0 : number(2, most);
  }
  // A divisor that leaves at least so many; 0: there is none.
  int64_t divisor(int64_t least) {
    std::vector<int64_t> found;
    for (int64_t d = 2; d <= std::min(kMostTimes, amount_ / least); ++d)
      if (amount_ % d == 0) found.push_back(d);
    return found.empty() ? 0 : found[random_.below(found.size())];
  }

  bool multiple() {
    const int64_t by = factor();
    if (by == 0) return false;
    const Person& other = another();
    say(fmt::format("{} has {} as many {} as {}.", other.name, times(by), noun_.many, who_->name));
    compare(other, '*', by, amount_ * by);
    return true;
  }

  bool sell_all() {
    const int64_t by = factor();
    if (by == 0 || amount_ < 2 || kind_ == Kind::kMoney || kind_ == Kind::kFull) return false;
    act(fmt::format("sells all the {} for {} each.", noun_.many, counted(by, kMoney)));
    say(fmt::format("{} had no {} before.", who_->name, kMoney.many));
    noun_ = kMoney;
    kind_ = Kind::kMoney;
    change('*', by, amount_ * by);
    alone_ = true;
    return true;
  }

  bool look_inside() {
    const int64_t by = factor();
    if (by == 0 || amount_ < 2 || kind_ != Kind::kFull) return false;
    say(fmt::format("There are {} in each {}.", counted(by, thing_), place_.one));
    noun_ = thing_;
    kind_ = Kind::kThing;
    work_out(fmt::format("{} has", who_->name), amount_, '*', by, amount_ * by, noun_.many);
    amount_ *= by;
    compared_ = false;
    return true;
  }

  bool share() {
    const int64_t by = divisor(1);
    if (by == 0) return false;
    const Person& other = another();
    act(fmt::format("shares all the {} equally among {} friends.", noun_.many, by));
    say(fmt::format("{} is one of the friends and had no {} before.", other.name, noun_.many));
    who_ = &other;
    change('/', by, amount_ / by);
    alone_ = true;
    return true;
  }

  bool pack() {
    const int64_t by = divisor(2);
    if (by == 0 || kind_ != Kind::kThing) return false;
    const Noun& place = noun_of(kPlaces);
    act(fmt::format("packs all the {} into {}, {} in each {}.", noun_.many, place.many, by, place.one));
    kind_ = Kind::kPacked;
    noun_ = {place.one + " of " + thing_.many, place.many + " of " + thing_.many};
    change('/', by, amount_ / by);
    alone_ = true;
    return true;
  }

  bool part() {
    const int64_t by = divisor(1);
    if (by == 0) return false;
    const Person& other = another();
    say(fmt::format("{} has {} as many {} as {}.", who_->name, times(by), noun_.many, other.name));
    compare(other, '/', by, amount_ / by);
    return true;
  }

  bool together() {
    if (!compared_ || before_amount_ + amount_ > max_) return false;
    const int64_t sum = before_amount_ + amount_;
    work_out("Together they have", before_amount_, '+', amount_, sum, named(sum));
    question_ = fmt::format("How many {} do {} and {} have together?", noun_.many, before_->name, who_->name);
    amount_ = sum;
    return true;
  }

  bool difference() {
    if (!compared_ || !by_times_) return false;  // of "3 more" it would be given
    const bool fewer = amount_ < before_amount_;
    const Person *larger = fewer ? before_ : who_, *smaller = fewer ? who_ : before_;
    const int64_t high = std::max(amount_, before_amount_), low = std::min(amount_, before_amount_);
    work_out(fmt::format("{} has", larger->name), high, '-', low, high - low,
             fmt::format("more {} than {}", named(high - low), smaller->name));
    question_ =
        fmt::format("How many more {} does {} have than {}?", noun_.many, larger->name, smaller->name);
    amount_ = high - low;
    return true;
  }

  void ask() {
    std::vector<std::string> ways = {
        fmt::format("How many {} does {} have?", noun_.many, who_->name),
        fmt::format("What is the number of {} that {} has?", noun_.many, who_->name)};
    if (!compared_) {
      ways = {fmt::format("How many {} does {} have now?", noun_.many, who_->name),
              fmt::format("How many {} does {} have in the end?", noun_.many, who_->name),
              fmt::format("What is the number of {} that {} has now?", noun_.many, who_->name)};
    }
    question_ = any(ways);
  }

  const int64_t max_;
  RandomStream& random_;
  const std::vector<int64_t> order_;  // of people who come into the story
  size_t next_person_ = 0;
  const Person *who_ = nullptr, *before_ = nullptr;
  int64_t amount_ = 0, before_amount_ = 0;
  Kind kind_ = Kind::kThing;
  Noun noun_, thing_, place_;
  bool compared_ = false, by_times_ = false;  // the last step told who_'s number from before_'s, by a factor
  bool alone_ = false;                        // the last sentence is about who_ and nobody else
  std::string text_, question_, solution_;
};

}  // namespace

std::optional<Story> tell_story(int64_t steps, int64_t max_number, const std::vector<char>& operations,
                                RandomStream& random) {
  return Teller(max_number, random).tell(steps, operations);
}

}  // namespace temper
