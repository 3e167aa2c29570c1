"""What is refused, by whichever room: one error above all that a command turns into a sentence.

    TrainloopError
        CourseError          the course's folder
            CollectError     what came in from Canvas or Moodle
            ExportError      what is to go there
        LessonError          a lesson's text, with file and line
        KeyFileError         a lesson's key
        IsolationError       a level of isolation that does not work here
        BoxError             the box itself
        EngineError          no submission can be graded here, or no longer
        LostError            the work on one submission came to no answer
        LabError             the learner's working copy
        DamagedFileError     what `disagree` kept beside a notebook
        PlacementError       answers to the placement quiz
        SiteError            the web edition

Each stands in the room that raises it. Whoever catches one by name can do something about it; all others pass on.
"""


class TrainloopError(Exception):
    """One sentence, for whoever typed the command, that says what is not right and what to do."""
