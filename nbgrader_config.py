"""nbgrader's configuration of this course: everything stock, except where submissions are graded.

`nbgrader autograde`, the formgrader's button and `trainloop grade` all go through the classes named here.
"""

from pathlib import Path

from trainloop.course import warn_of_path

c = get_config()  # noqa: F821  (traitlets hands it in)

c.CourseDirectory.course_id = "training-loop"
warn_of_path(Path(__file__).resolve().parent)  # where nbgrader would find nothing, and not say why
c.CourseDirectory.db_url = f"sqlite:///{Path(__file__).resolve().parent / 'gradebook.db'}?timeout=120"

# The scripts of the optional notebook are released as they are to be mended; all else is cleared as ever.
c.GenerateAssignment.preprocessors = [
    "nbgrader.preprocessors.IncludeHeaderFooter",
    "nbgrader.preprocessors.InstantiateTests",
    "nbgrader.preprocessors.LockCells",
    "trainloop.authoring.released.ClearSolutions",
    "nbgrader.preprocessors.ClearOutput",
    "nbgrader.preprocessors.CheckCellMetadata",
    "nbgrader.preprocessors.ComputeChecksums",
    "nbgrader.preprocessors.SaveCells",
    "nbgrader.preprocessors.ClearHiddenTests",
    "nbgrader.preprocessors.ClearMarkScheme",
    "nbgrader.preprocessors.ComputeChecksums",
    "nbgrader.preprocessors.CheckCellMetadata",
]

# Reads a submission, whatever it is; rebuilds the notebook; runs it; judges it outside of the student's process.
c.Autograde.exporter_class = "trainloop.grading.record.SubmissionExporter"
c.Autograde.sanitize_preprocessors = []
# Writes that verdict into the gradebook. Late penalties stay nbgrader's.
c.Autograde.autograde_preprocessors = [
    "trainloop.grading.record.RecordVerdict",
    "nbgrader.preprocessors.AssignLatePenalties",
    "nbgrader.preprocessors.CheckCellMetadata",
]

# Feedback is a page of our own: what each check says, and never the source of a hidden one.
c.GenerateFeedback.exporter_class = "trainloop.grading.feedback.FeedbackExporter"
c.GenerateFeedback.preprocessors = ["nbgrader.preprocessors.GetGrades", "trainloop.grading.feedback.Summarise"]

# Reads what Canvas and Moodle deliver, and whose it is; `trainloop/classroom/collect.py` says how.
c.ZipCollectApp.extractor_plugin = "trainloop.classroom.collect.Extractor"
c.ZipCollectApp.collector_plugin = "trainloop.classroom.collect.Collector"

# A name with a comma stays in its column.
c.ExportApp.plugin_class = "trainloop.classroom.export.CsvExporter"

# Students' text and output must be inert in feedback and in the formgrader.
c.HTMLExporter.preprocessors = ["trainloop.grading.feedback.SanitizeStudents"]
c.HTMLExporter.filters = {"markdown2html": "trainloop.grading.feedback.safe_markdown"}

# What lies in the exchange was put there by students: only their own plain files are collected.
c.ExchangeFactory.collect = "trainloop.grading.exchange.Collect"
c.ExchangeFactory.release_feedback = "trainloop.grading.exchange.ReleaseFeedback"

# What one submission may use, and how far it is shut off; `trainloop/grading/settings.py` says what each means. The defaults:
# c.Grading.isolation = "full"  # or "limits", for code that you trust: no bubblewrap, an ordinary process
# c.Grading.workers = <the cores>
# c.Grading.cell_seconds = 20
# c.Grading.total_seconds = 180
# c.Grading.memory_bytes = 3 * 2**30
# c.Grading.processes = 128
# c.Grading.open_files = 256
# c.Grading.disk_bytes = 256 * 2**20
# c.Grading.file_bytes = 64 * 2**20
# c.Grading.output_chars = 20_000
# c.Grading.figures = 16
# c.Grading.figure_bytes = 1_000_000
