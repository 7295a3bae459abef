"""Valid enhanced CT and MR objects, beside those of ``objects.py``."""

from __future__ import annotations

from collections.abc import Callable

from acutance_test_objects import IOP, IPP, ROOT, SPACING, code, common, frames_of, item, pixels  # type: ignore[import-not-found]
from pydicom.dataset import Dataset


def _enhanced(suffix: str, modality: str) -> Dataset:
    made = common(suffix, modality)
    made.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    made.NumberOfFrames = 3
    made.AcquisitionDateTime, made.AcquisitionDuration = "20200102101112", 1.0
    made.ContentQualification = "RESEARCH"
    made.ResonantNucleus = "1H"
    made.PixelPresentation, made.VolumetricProperties = "MONOCHROME", "VOLUME"
    made.VolumeBasedCalculationTechnique = "NONE"
    made.PresentationLUTShape = "IDENTITY"
    made.DimensionOrganizationSequence = [item(DimensionOrganizationUID=ROOT + "5")]
    made.DimensionIndexSequence = [
        item(
            DimensionIndexPointer=0x00209057,
            FunctionalGroupPointer=0x00209111,
            DimensionOrganizationUID=ROOT + "5",
        )
    ]
    made.AcquisitionContextSequence = []
    for keyword in ("AcquisitionNumber", "PatientOrientation"):
        delattr(made, keyword)
    made.SharedFunctionalGroupsSequence = [
        item(
            PixelMeasuresSequence=[item(PixelSpacing=SPACING, SliceThickness=2)],
            FrameAnatomySequence=[item(FrameLaterality="U", AnatomicRegionSequence=[code("51185008", "SCT", "Chest")])],
            PixelValueTransformationSequence=[item(RescaleIntercept=0, RescaleSlope=1, RescaleType="US")],
            FrameVOILUTSequence=[item(WindowCenter=900, WindowWidth=1800)],
        )
    ]
    made.PerFrameFunctionalGroupsSequence = [
        item(
            FrameContentSequence=[
                item(
                    FrameAcquisitionDateTime="20200102101112",
                    FrameReferenceDateTime="20200102101112",
                    FrameAcquisitionDuration=1.0,
                    StackID="1",
                    InStackPositionNumber=i + 1,
                    DimensionIndexValues=[i + 1],
                )
            ],
            PlanePositionSequence=[item(ImagePositionPatient=[x + 2 * i for x in IPP])],
            PlaneOrientationSequence=[item(ImageOrientationPatient=IOP if i < 2 else [1, 0, 0, 0, 1, 0])],
        )
        for i in range(3)
    ]
    pixels(made, frames_of(3))
    return made


def enhanced_mr() -> Dataset:
    made = _enhanced("4.1", "MR")
    made.ComplexImageComponent, made.AcquisitionContrast = "MAGNITUDE", "T1"
    made.MagneticFieldStrength, made.KSpaceFiltering = 1.5, "NONE"
    made.ApplicableSafetyStandardAgency = "IEC"
    made.PulseSequenceName, made.MRAcquisitionType, made.EchoPulseSequence = "x", "2D", "SPIN"
    made.MultipleSpinEcho, made.MultiPlanarExcitation, made.PhaseContrast = "NO", "NO", "NO"
    made.TimeOfFlightContrast, made.ArterialSpinLabelingContrast = "NO", ""
    del made.ArterialSpinLabelingContrast
    made.SteadyStatePulseSequence, made.EchoPlanarPulseSequence, made.SaturationRecovery = "NONE", "NO", "NO"
    made.SpectrallySelectedSuppression, made.OversamplingPhase = "NONE", "NONE"
    made.GeometryOfKSpaceTraversal, made.RectilinearPhaseEncodeReordering = "RECTILINEAR", "LINEAR"
    made.SegmentedKSpaceTraversal, made.NumberOfKSpaceTrajectories = "SINGLE", 1
    shared = made.SharedFunctionalGroupsSequence[0]
    shared.MRImageFrameTypeSequence = [
        item(
            FrameType=made.ImageType,
            PixelPresentation="MONOCHROME",
            VolumetricProperties="VOLUME",
            VolumeBasedCalculationTechnique="NONE",
            ComplexImageComponent="MAGNITUDE",
            AcquisitionContrast="T1",
        )
    ]
    shared.MRTimingAndRelatedParametersSequence = [
        item(
            RepetitionTime=500,
            FlipAngle=90,
            EchoTrainLength=1,
            RFEchoTrainLength=1,
            GradientEchoTrainLength=0,
            GradientOutputType="DB_DT",
            GradientOutput=1.0,
            SpecificAbsorptionRateSequence=[
                item(SpecificAbsorptionRateDefinition="IEC_WHOLE_BODY", SpecificAbsorptionRateValue=0.1)
            ],
            OperatingModeSequence=[item(OperatingModeType="GRADIENT", OperatingMode="IEC_NORMAL")],
        )
    ]
    shared.MRFOVGeometrySequence = [
        item(
            InPlanePhaseEncodingDirection="ROW",
            MRAcquisitionFrequencyEncodingSteps=24,
            MRAcquisitionPhaseEncodingStepsInPlane=20,
            PercentSampling=100,
            PercentPhaseFieldOfView=100,
        )
    ]
    shared.MREchoSequence = [item(EffectiveEchoTime=12.0)]
    shared.MRModifierSequence = [
        item(
            InversionRecovery="NO",
            FlowCompensation="NONE",
            Spoiling="NONE",
            T2Preparation="NO",
            SpectrallySelectedExcitation="NONE",
            SpatialPresaturation="NONE",
            PartialFourier="NO",
            ParallelAcquisition="NO",
        )
    ]
    shared.MRImagingModifierSequence = [
        item(
            MagnetizationTransfer="NONE",
            BloodSignalNulling="NO",
            Tagging="NONE",
            TransmitterFrequency=63.8,
            PixelBandwidth=100,
        )
    ]
    shared.MRReceiveCoilSequence = [
        item(ReceiveCoilName="x", ReceiveCoilManufacturerName="", ReceiveCoilType="VOLUME", QuadratureReceiveCoil="NO")
    ]
    shared.MRTransmitCoilSequence = [
        item(TransmitCoilName="x", TransmitCoilManufacturerName="", TransmitCoilType="VOLUME")
    ]
    shared.MRAveragesSequence = [item(NumberOfAverages=1)]
    return made


def enhanced_ct() -> Dataset:
    made = _enhanced("2.1", "CT")
    del made.ResonantNucleus
    shared = made.SharedFunctionalGroupsSequence[0]
    shared.PixelValueTransformationSequence[0].RescaleType = "HU"
    shared.PixelValueTransformationSequence[0].RescaleIntercept = -1024
    shared.CTImageFrameTypeSequence = [
        item(
            FrameType=made.ImageType,
            PixelPresentation="MONOCHROME",
            VolumetricProperties="VOLUME",
            VolumeBasedCalculationTechnique="NONE",
        )
    ]
    shared.IrradiationEventIdentificationSequence = [item(IrradiationEventUID=ROOT + "6")]
    shared.CTAcquisitionTypeSequence = [
        item(AcquisitionType="SEQUENCED", ConstantVolumeFlag="NO", FluoroscopyFlag="NO")
    ]
    shared.CTAcquisitionDetailsSequence = [
        item(
            RotationDirection="CW",
            RevolutionTime=1.0,
            SingleCollimationWidth=1.0,
            TotalCollimationWidth=2.0,
            TableHeight=100,
            GantryDetectorTilt=0,
            DataCollectionDiameter=500,
        )
    ]
    shared.CTTableDynamicsSequence = [item()]
    shared.CTPositionSequence = [
        item(
            TablePosition=1.0,
            DataCollectionCenterPatient=[0.0, 0.0, 0.0],
            ReconstructionTargetCenterPatient=[0.0, 0.0, 0.0],
        )
    ]
    shared.CTGeometrySequence = [item(DistanceSourceToDetector=1000, DistanceSourceToDataCollectionCenter=500.0)]
    shared.CTReconstructionSequence = [
        item(
            ReconstructionAlgorithm="FILTER_BACK_PROJ",
            ConvolutionKernel="x",
            ConvolutionKernelGroup="BRAIN",
            ReconstructionDiameter=200,
            ReconstructionPixelSpacing=SPACING,
            ReconstructionAngle=360.0,
            ImageFilter="NONE",
        )
    ]
    shared.CTExposureSequence = [
        item(
            ExposureTimeInms=100.0,
            XRayTubeCurrentInmA=100.0,
            ExposureInmAs=10.0,
            ExposureModulationType="NONE",
            CTDIvol=1.0,
            EstimatedDoseSaving=0.0,
        )
    ]
    shared.CTXRayDetailsSequence = [item(KVP=120, FocalSpots=[1.0, 1.0], FilterType="FLAT", FilterMaterial="MIXED")]
    return made


CLASSES: dict[str, Callable[[], Dataset]] = {"2.1": enhanced_ct, "4.1": enhanced_mr}
