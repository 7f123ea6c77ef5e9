#include "serve/api_error.h"

#include <utility>

#include "base/error.h"
#include "base/failure.h"
#include "base/json.h"
#include "base/log.h"

namespace temper {
namespace {

const char* const kInvalid = "invalid_request_error";

}  // namespace

ApiError::ApiError(int status, std::string type, const std::string& message, std::string param,
                   std::string code)
    : std::runtime_error(message),
      status(status),
      type(std::move(type)),
      param(std::move(param)),
      code(std::move(code)) {}

ApiError bad_request(const std::string& param, const std::string& why, const std::string& code) {
  return {400, kInvalid, param.empty() ? why : param + ": " + why, param, code};
}

ApiError not_found(const std::string& message, const std::string& code) {
  return {404, kInvalid, message, code == "model_not_found" ? "model" : "", code};
}

ApiError unauthorised(const std::string& message) {
  return {401, kInvalid, message, "", "invalid_api_key"};
}

ApiError forbidden(const std::string& message) {
  return {403, kInvalid, message, "", "forbidden"};
}

ApiError too_large(const std::string& message) {
  return {413, kInvalid, message, "", "request_too_large"};
}

ApiError unavailable(const std::string& message, const std::string& code) {
  return {503, "service_unavailable_error", message, "", code};
}

ApiError of_refusal(const ServiceRefusal& refusal) {
  switch (refusal.kind) {
    case ServiceRefusal::Kind::kRequest:
      return bad_request("", refusal.what());
    case ServiceRefusal::Kind::kNoModel:
      return not_found(refusal.what(), "model_not_found");
    case ServiceRefusal::Kind::kBusy:
      return {429, "rate_limit_error", refusal.what(), "", "rate_limit_exceeded"};
    case ServiceRefusal::Kind::kStopping:
      return unavailable(refusal.what(), "stopping");
    case ServiceRefusal::Kind::kFailed:
      break;
  }
  return {500, "server_error", refusal.what(), "", ""};
}

ApiError current_error() {
  try {
    throw;
  } catch (const ApiError& e) {
    return e;
  } catch (const ServiceRefusal& e) {
    return of_refusal(e);
  } catch (const UserError& e) {
    return bad_request("", e.what());
  } catch (const std::exception& e) {
    const std::string machine = machine_failure(e);
    log_warning("a request failed: {}", machine.empty() ? e.what() : machine);
  } catch (...) {
    log_warning("a request failed for a reason that is not known");
  }
  return {500, "server_error", "the server failed to answer; its log says why", "", ""};
}

Json to_json(const ApiError& error) {
  const auto or_null = [](const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); };
  return {{"error",
           {{"message", error.what()},
            {"type", error.type},
            {"param", or_null(error.param)},
            {"code", or_null(error.code)}}}};
}

}  // namespace temper
