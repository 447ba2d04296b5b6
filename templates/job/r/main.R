# Counts and means of a table's numeric columns, as summary.csv. Yours to change.

data   <- file.path(Sys.getenv("GITQUEUE_DATA"), "{{ dataset }}")  # read-only; mock data until an owner has approved
output <- Sys.getenv("GITQUEUE_OUTPUT")                            # what you write here, and declare, may come back
fewest <- 10  # a number about fewer people than this can point at one of them: leave it out

table   <- sort(list.files(data, "[.]csv$", full.names = TRUE, recursive = TRUE))[1]
numeric <- Filter(is.numeric, read.csv(table, check.names = FALSE))

summary <- data.frame(
  column = names(numeric),
  count  = vapply(numeric, function(values) sum(!is.na(values)), integer(1)),
  mean   = vapply(numeric, function(values) signif(mean(values, na.rm = TRUE), 3), numeric(1))
)
write.csv(summary[summary$count >= fewest, ], file.path(output, "summary.csv"), row.names = FALSE, quote = FALSE)

cat("read", basename(table), "\n")
