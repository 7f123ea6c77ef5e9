#include "inspect/departures.h"

#include <map>

namespace temper {
namespace {

using Lines = std::vector<std::string>;

const std::map<std::string, Lines>& all() {
  const std::string frozen =
      "What the start takes out of the weights is a frozen second update, so the base stays whole; the "
      "folder is "
      "a plain LoRA of twice the rank, as PEFT converts it.";
  const std::string rate = "lr is 1e-5, as for every optimizer here; the authors' is ";
  static const std::map<std::string, Lines> lines = {
      {"problem/ksat",
       {"The sentences are clauses about a scene; those of Natural Language Satisfiability have quantifiers.",
        "The clauses of a formula are different from each other."}},
      {"order/pacing",
       {"Only the abstract of the study of curricula in pretraining (Beyond Random Sampling) could be "
        "checked: "
        "its pacing functions, and what it interleaves, are those of the papers named here and Temper's own.",
        "A draw from a window is with replacement."}},
      {"order/levels", {"The levels are a column; which of them a run is evaluated on is data.eval."}},
      {"order/rcs",
       {"A prompt that the first stage did not sample stays. One that it sampled several times counts by its "
        "last group."}},
      {"order/mastering_rate",
       {"A task's performance in a step is the mean over the records of it that the step drew; a task "
        "without "
        "any has none. In the supervised code every task is evaluated at each step.",
        "Every task has the same minimum and maximum at first (min, max); the code's graphs say them a task.",
        "The code has the share explore as another form of converting (GreedyProp); here 0 is the code's "
        "default."}},
      {"order/mix_cd",
       {"Only a summary could be checked, and how alpha is normalised and updated is Temper's own: counts "
        "that "
        "fade (memory), and a share of draws by the bins' sizes (explore).",
        "Right means that each target token is the most likely one, read from the update's own pass; the "
        "base "
        "model is the run's own before its first step, passed once over the rehearsed records."}},
      {"order/power_law",
       {"Only the abstract could be checked; the age of a task is counted from the last step of its own "
        "part, "
        "and replays do not renew it. The share of replays is fixed."}},
      {"input/filter",
       {"A reward is larger for a better record; PHF's scores are minus the reward.",
        "min is a reward; it does not follow from a share of the data."}},
      {"input/conditional",
       {"The control texts are never targets; in PHF's code they are.",
        "A reward is larger for a better text; PHF's scores are minus the reward.",
        "Of a record in segments the control tokens stand between the tokens of the whole text; PHF "
        "tokenises each sentence with its control token on its own."}},
      {"selection/top",
       {"Repeated answers are dropped first; in B-STaR's code they count among the k and are dropped "
        "last.",
        "An answer whose reward is the threshold stays; in the code it must be above."}},
      {"selection/dsir",
       {"The raw shares are of all records; the code stops after 1e9 n-grams.",
        "Python's lower() writes a capital sigma at a word's end as a final one; here it is an inner one."}},
      {"selection/pairs",
       {"A pair is chosen at a time; the paper chooses whole candidate sets for a ranking loss.",
        "Surprise is the difference of the pair's mean log-probs; the paper's is the loss of the set."}},
      {"input/neftune", {"L is the length of the example; TRL's is the padded one."}},
      {"input/bash",
       {"Nothing but the paper's abstract could be checked. How generated tokens line up with the gold ones "
        "is "
        "Temper's own: in the place of y_t stands what the model says after x and y_<t, from one pass over "
        "the "
        "example. So is the probability of 0.2.",
        "The tokens are drawn at each step from the model as it is; the paper makes them offline, for many "
        "examples at once."}},
      {"input/rac",
       {"The own answer is generated at each step by the model as it is, unless `column` names stored "
        "ones; the marker's text is Temper's own."}},
      {"input/leti",
       {"The code alternates with a step on pretraining-style data, 1:1; here that is data.weights.",
        "Held-out records get the good token from the start; the first iteration of the code "
        "samples without it."}},
      {"input/ilf",
       {"The refinements and their scores are columns, or the run's rewards score them; the paper "
        "asks a language model whether a refinement uses the feedback."}},
      {"filter/multistage",
       {"The classifier is asked about examples before it learns them; in the authors' code its log-loss is "
        "of "
        "those it has just learnt.",
        "Stage 2 trains on full batches from the queue, as stage 1; the authors make an update of each "
        "example.",
        "Steps are updates: a step draws until a batch is full, up to most_draws batches, and then takes "
        "what it passed over last. The authors' runs end with the data.",
        "An example's loss is the mean over its targets, and the predictor_loss is Temper's own: the "
        "authors give theirs by hand."}},
      {"replay/btp",
       {"How a program's probability is scaled by its length is uncertain in the source: `probability` has "
        "the "
        "product over the tokens and their geometric mean, at rollout.temperature.",
        "How a priority becomes a chance is uncertain in the source: `draw` has the two forms of prioritised "
        "experience replay (arXiv 1511.05952), by the priority and by its rank, drawn without replacement "
        "within a step.",
        "The weight `alpha` is Temper's own.",
        "Whole groups are replayed, so that advantages within a group stay what they are; a group's priority "
        "is the mean of its completions'.",
        "The pass rate is the reward clipped to [0, 1], null counting as 0; the paper's is the share of a "
        "program's tests.",
        "Completions are sampled by the policy that trains and learnt from by the run's algorithm; the paper "
        "finds programs by beam search and fine-tunes on them."}},
      {"merge/ties",
       {"All entries as large as the smallest that is kept are kept; mergekit takes as many as were asked "
        "for.",
        "An exactly cancelled sum has the sign +, as in mergekit; in the authors' code that of the whole "
        "vector's sum."}},
      {"merge/dare",
       {"What is left is divided by density, as in the paper; mergekit scales it to the magnitude of "
        "before."}},
      {"merge/model_stock",
       {"Where the models stand at an obtuse angle the base is taken; mergekit goes on with the formula.",
        "While training, rounds merge what they trained side by side (phase merge); the paper merges two "
        "runs at each epoch."}},
      {"merge/timber",
       {"The spectrum is that of D's Gram matrix; the authors take the SVD of D. They add 1e-9 inside the "
        "logarithm."}},
      {"merge/regmean",
       {"ridge draws directions without data to the mean; the authors leave out rows that are all 0.",
        "The Gram matrices are means over tokens, as in the code of MaTS, so that data of different sizes "
        "weigh alike."}},
      {"merge/mats",
       {"Embeddings and the head are the mean; the authors merge the head by its Gram matrix where there is "
        "no K-FAC.",
        "The moments are of all tokens that are read; the authors' encoder-decoder masks them by what is a "
        "target."}},
      {"merge/atlas",
       {"A target token is one answer; the authors' vision models give one an image.",
        "lr is 0.01; the authors' is 0.1. The last coefficients are kept, not those of the best epoch.",
        "Partitions are drawn for each tensor, vectors too; the authors draw them for each shape and leave "
        "vectors alone."}},
      {"adapter/lisa",
       {"With state drop and bf16 compute a frozen block's fp32 weights are gone too: they are rounded to "
        "bf16 once "
        "an interval. keep and offload are exact.",
        "A block that is drawn again for the very next interval keeps its optimizer state.",
        "The final norm trains beside embedding and head (norm)."}},
      {"adapter/pissa", {frozen}},
      {"adapter/olora", {frozen}},
      {"adapter/corda",
       {frozen,
        "A sample is one record in one forward pass; the authors cut 256 pieces of 2,048 tokens from running "
        "text."}},
      {"adapter/increlora",
       {"alpha is divided by the target rank, not by the rank of the moment, so that growth changes nothing "
        "that "
        "is there.",
        "New components begin with the run's learning rate after a linear warm-up of growth_warmup updates, "
        "not on "
        "a schedule of their own.",
        "The reserves left at the end are left out of the folder, which is a plain LoRA for PEFT."}},
      {"adapter/ist",
       {"The losses that move the scores are over the whole batch of the update, not over its first "
        "micro-batch, so "
        "that the micro-batch size changes nothing."}},
      {"adapter/prompt",
       {"A text's first token is predicted by nothing, also behind virtual tokens; PEFT lets it count."}},
      {"adapter/prefix",
       {"The keys and values train themselves, as by PEFT's default; the paper's come out of a small "
        "network."}},
      {"optimizer/ademamix", {rate + "1e-3."}},
      {"optimizer/soap",
       {rate + "3e-3.",
        "The first moment stays in the parameter's own basis; the authors turn it with the basis and back, "
        "which "
        "is the same number for an orthogonal one."}},
      {"optimizer/muon",
       {"scale is \"adamw\", the form of arXiv 2502.16982 and of torch's match_rms_adamw, so that AdamW's "
        "learning "
        "rate fits; the authors' is \"original\", with a rate of 0.02."}},
      {"optimizer/lion", {rate + "3 to 10 times below AdamW's, with as much more decay."}},
      {"optimizer/adafactor",
       {"Two forms, transformers' and torch's. As in transformers the paper's relative step is on unless lr "
        "is "
        "given; its trainer gives one, with scale_parameter false."}},
      {"speculation/skip",
       {"A draft of sampled decoding draws its tokens; the authors' code takes the most probable ones and "
        "accepts them as if they had been drawn.",
        "gamma follows each text on its own; what is skipped is found by drawing sets and changing the best "
        "one, by counted work; the authors' by Bayesian optimisation of measured time."}},
      {"speculation/lookup",
       {"The newest earlier place is taken, not the first; a draft that runs into the text's end goes on "
        "with "
        "itself."}},
      {"search/contrastive",
       {"End tokens before min_new_tokens are left out without renormalising the others' probabilities."}},
      {"schedule/refined",
       {"A run logs the l2 norm of its gradients alone; the paper weighs Adam's steps by l1 norms. Where the "
        "entries keep their distribution the two differ by a factor that cancels."}},
  };
  return lines;
}

}  // namespace

std::vector<std::string> departures_of(const std::string& kind, const std::string& name) {
  const auto it = all().find(kind + "/" + name);
  return it == all().end() ? Lines() : it->second;
}

std::vector<std::string> names_with_departures() {
  std::vector<std::string> out;
  for (const auto& [name, lines] : all()) out.push_back(name);
  return out;
}

}  // namespace temper
