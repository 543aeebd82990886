"""The distribution: for this machine, for Beam workers (`--setup_file`) and for the pipeline's container."""

from pathlib import Path

from setuptools import find_packages, setup

PACKAGES = ("core", "pipeline", "components", "transform", "trainer", "serving")

setup(
    name="twostep",
    version="0.1.0",
    description="A production recommender in two steps, retrieval then ranking, as a TFX pipeline",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license_expression="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11,<3.12",
    packages=find_packages(include=[pattern for name in PACKAGES for pattern in (name, f"{name}.*")]),
    package_data={"serving": ["page/*"]},
    install_requires=[
        "tfx==1.21.0",
        "tensorflow==2.21.0",
        "tensorflow-recommenders==0.7.7",
        "apache-beam==2.77.0",
        "setuptools<81",
        "pyarrow",
        "numpy",
        "scipy",
        "pydantic>=2,<3",
        "pyyaml",
        "rich",
        "faiss-cpu==1.15.1",
        "implicit==0.7.3",
        "scikit-surprise==1.1.5",
        "keras-tuner==1.4.8",
        "ydf==0.16.1",
        "ydf-tf==2.21.0.post1",
        "threadpoolctl",
        "cryptography",
        "obstore==0.12.1",
        "google-cloud-storage",
        "kfp==2.16.1",
        "google-cloud-aiplatform",
        "apscheduler==3.11.*",
        "sqlalchemy>=2,<3",
        "fastapi>=0.115,<1",
        "uvicorn>=0.34,<1",
        "prometheus-client",
        "httpx",
        "pg8000>=1.31,<2",
        "redis>=8.1,<9",
        "pip",
    ],
    extras_require={
        "spark": ["pyspark==4.3.0"],
        "dev": ["build", "ruff", "mypy", "types-pyyaml", "pytest", "pytest-timeout", "pytest-xdist", "hypothesis"],
    },
    entry_points={"console_scripts": ["twostep=pipeline.cli:main"]},
)
