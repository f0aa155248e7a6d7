# Models that are, or will be, retired. A plan warns and continues, because a retired model
# may still be wanted.

locals {
  retirements = jsondecode(file("${path.module}/../functions/batchdrop/preflight/retirements.json")).models
  # As the list has them: without publisher, with and without a version.
  chosen_models = distinct(flatten([
    for model in concat([var.model], tolist(var.models), local.route_models) : [
      split("@", basename(model))[0],
      replace(split("@", basename(model))[0], "/-0[0-9]*$/", ""),
    ]
  ]))
  retired = [for one in local.retirements : one if contains(local.chosen_models, one.model) && contains(var.backends, one.backend)]
}

check "models" {
  assert {
    condition = length(local.retired) == 0
    # The same words as `batchdrop check`.
    error_message = join("\n", [
      for one in local.retired : format(
        one.then == "rerouted" ? "%s: %s answers it with %[4]s from %[3]s on, at that model's price; name the model that you want" : "%s: %s refuses it from %s on (retired, 404); use %s",
        one.model, one.backend == "vertex" ? "Vertex AI" : "the Gemini Developer API", one.on, one.instead,
      )
    ])
  }
}
