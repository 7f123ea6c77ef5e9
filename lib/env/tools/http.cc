#include "env/tools/http.h"

#include "base/error.h"
#include "env/tools/command.h"

namespace temper {
namespace {

class HttpTool : public Tool {
 public:
  HttpTool(ToolSignature signature, const HttpOptions& options)
      : Tool(std::move(signature)), client_(options, "tool \"" + this->signature().name + "\"") {}

  ToolResult call(const Json& arguments) override {
    HttpAnswer answer = client_.post(dump_line(arguments), interrupted_.get_token());
    if (answer.cause == HttpAnswer::Cause::kInterrupted)
      user_error("tool \"{}\": interrupted", signature().name);
    if (answer.ok()) return {std::move(answer.body)};
    return {answer.why, false};
  }
  bool external() const override { return true; }
  void interrupt() override { interrupted_.request_stop(); }

 private:
  HttpClient client_;
  std::stop_source interrupted_;
};

}  // namespace

HttpToolOptions::HttpToolOptions() {
  http.timeout_s = 30;
  http.retries = 1;
}

void HttpToolOptions::fields(FieldVisitor& v) {
  ToolOptions::fields(v);
  v.field("url", http.url, {.help = "where the arguments are posted", .required = true});
  v.field("parameters", parameters, {.help = "JSON Schema of the arguments"});
  http.fields(v);
}

void HttpToolOptions::check(std::vector<std::string>& problems, const std::string& where) const {
  http.check(problems, where);
  if (name.empty()) problems.push_back(where + ".name: missing; expected what the policy calls it by");
  const std::string problem = parameters_problem(parameters);
  if (!problem.empty()) problems.push_back(where + ".parameters: " + problem);
}

std::vector<std::unique_ptr<Tool>> HttpToolOptions::make() const {
  std::vector<std::unique_ptr<Tool>> out;
  out.push_back(std::make_unique<HttpTool>(ToolSignature{name, description, parameters}, http));
  return out;
}

}  // namespace temper
