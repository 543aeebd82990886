"""The files of a schedule in the run folder."""

from pathlib import Path

from pipeline.schedule.process import Files


class Places:
    """The files of a schedule.

    Attributes:
      run_folder: the run folder.
      folder: the folder of the answers and the progress of the runs.
      records: the SQLite file.
      lock: the file that the scheduler locks; it has the id of its process.
    """

    def __init__(self, run_folder: Path):
        self.run_folder = run_folder
        self.folder = run_folder / "schedule"
        self.records = self.folder / "schedule.sqlite"
        self.lock = self.folder / ".lock"

    def files(self, number: int) -> Files:
        """Return the files of a run."""
        return Files(self.folder, number)

    def delete_files(self, last: int) -> None:
        """Delete the files of all runs up to a number."""
        for pid in self.folder.glob("*.pid"):
            if pid.stem.isdecimal() and int(pid.stem) <= last:
                self.files(int(pid.stem)).delete()
