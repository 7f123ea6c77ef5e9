// Every reward that a config can name.
#include "reward/code.h"
#include "reward/environment_reward.h"
#include "reward/extend.h"
#include "reward/ksat.h"
#include "reward/math.h"
#include "reward/model_reward.h"
#include "reward/pattern.h"
#include "reward/process.h"
#include "reward/remote/http_reward.h"
#include "reward/remote/judge.h"
#include "reward/shaping.h"
#include "reward/text/bleu.h"
#include "reward/text/chrf.h"
#include "reward/text/embedding.h"
#include "reward/text/json_reward.h"
#include "reward/text/rouge.h"
#include "reward/text/squad.h"
#include "reward/text_match.h"

namespace temper {
namespace {

template <class Options>
std::unique_ptr<RewardOptions> make_reward() {
  return std::make_unique<Options>();
}

}  // namespace

const Registry<RewardOptions>& reward_registry() {
  static const Registry<RewardOptions> registry = [] {
    Registry<RewardOptions> r("reward");
    r.add(
        {"math",
         "the final answer is the reference's number, compared exactly; null when the reference is no number",
         "GSM8K (arXiv 2110.14168) and MATH (arXiv 2103.03874) answer conventions",
         make_reward<MathOptions>});
    r.add({"exact", "the completion, or its answer, is the reference text", "Temper",
           make_reward<ExactOptions>});
    r.add({"contains", "the completion contains a text", "Temper", make_reward<ContainsOptions>});
    r.add({"regex", "the completion matches a regular expression; null when the match takes too long",
           "Temper", make_reward<RegexOptions>});
    r.add({"format", "the completion keeps to a named format, such as <think>...</think> and then the answer",
           "DeepSeek-R1 (arXiv 2501.12948), format reward", make_reward<FormatOptions>});
    r.add({"rouge", "ROUGE-1, -2, -L or -Lsum of the completion beside the reference, as rouge_score has it",
           "Lin, ROUGE: A Package for Automatic Evaluation of Summaries (2004)", make_reward<RougeOptions>});
    r.add(
        {"bleu", "sentence BLEU from 0 to 1 beside all references, as sacrebleu has it",
         "Papineni et al., BLEU (2002); Post, A Call for Clarity in Reporting BLEU Scores (arXiv 1804.08771)",
         make_reward<BleuOptions>});
    r.add({"chrf",
           "chrF from 0 to 1, of n-grams of characters, beside the best reference, as sacrebleu has it",
           "Popovic, chrF (2015); Post, A Call for Clarity in Reporting BLEU Scores (arXiv 1804.08771)",
           make_reward<ChrfOptions>});
    r.add({"embedding", "the cosine of the embeddings of completion and reference by a causal model",
           "Temper", make_reward<EmbeddingOptions>});
    r.add({"f1",
           "F1 of the words that completion and reference share, or their exact match, as SQuAD has them",
           "SQuAD v1.1 (arXiv 1606.05250)", make_reward<SquadOptions>});
    r.add({"json_schema", "the completion is JSON that fits a schema", "JSON Schema, draft 2020-12",
           make_reward<JsonSchemaOptions>});
    r.add({"cosine",
           "a verifier's verdict scaled by length: right answers earn more when short, wrong ones lose more",
           "Demystifying Long Chain-of-Thought Reasoning (arXiv 2502.03373), C.1",
           make_reward<CosineOptions>});
    r.add({"overlong", "soft penalty for completions that come near the longest allowed length",
           "DAPO (arXiv 2503.14476), equation 13", make_reward<OverlongOptions>});
    r.add({"repetition", "penalty for repeated n-grams",
           "Demystifying Long Chain-of-Thought Reasoning (arXiv 2502.03373), C.2",
           make_reward<RepetitionOptions>});
    r.add({"code", "the completion's program passes the record's tests; it is run in a sandbox",
           "Temper; score coderl: CodeRL (arXiv 2207.01780), section 3.2", make_reward<CodeOptions>});
    r.add({"environment",
           "what the environment of a conversation gave for its turns, added up; null: nothing", "Temper",
           make_reward<EnvironmentRewardOptions>});
    r.add({"ksat", "values that satisfy every clause of a formula, or the right claim that there are none",
           "Temper; for problems as in Natural Language Satisfiability (Madusanka et al., 2024)",
           make_reward<KsatRewardOptions>});
    r.add({"process", "an external program scores completions: one JSON object a line in and out", "Temper",
           make_reward<ProcessOptions>});
    r.add({"http", "a server scores completions: JSON over HTTP, several requests at a time", "Temper",
           make_reward<HttpRewardOptions>});
    r.add(
        {"judge",
         "a language model judges completions: its Yes, its number, or its choice beside a reference; behind "
         "an OpenAI-style endpoint, or from a folder",
         "ILF (arXiv 2303.16755), P(Yes) over several wordings; MT-Bench (arXiv 2306.05685), both orders",
         make_reward<JudgeOptions>});
    r.add({"model",
           "a reward model's score, or a causal model's log-odds of Yes over No; null when longer than it "
           "reads",
           "Temper; verbaliser: MVP (arXiv 2303.07320)", make_reward<ModelRewardOptions>});
    extend(r);
    return r;
  }();
  return registry;
}

}  // namespace temper
