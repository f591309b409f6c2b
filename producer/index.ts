export { type Batch, type Batches, type BatchRequest, batchObject, createBatches } from '@longhaul/core/batches';
export { type Clock, systemClock } from '@longhaul/core/contracts';
export { createFiles, type Files } from '@longhaul/core/files';
export { type FollowBatchOptions, followBatch } from './batch/follow-batch.ts';
export { checkBatch } from './batch/input.ts';
export { putBatchInput } from './batch/put-input.ts';
export { type Forecast, type ForecastParts, forecast } from './estimate/forecast.ts';
export type { Price } from './estimate/price.ts';
export { type Survey, type SurveyParts, surveyModel } from './estimate/survey.ts';
export { committedProgress, type Estimate, estimate } from './eta.ts';
export { type FollowEvent, type FollowOptions, followDefaults, followJob, type NoticeCode } from './follow.ts';
export { keyedJobId, timeJobId } from './job-id.ts';
export {
  type Cancelled,
  createProducer,
  type JobFilter,
  type Producer,
  type ProducerParts,
  type Redrive,
  type RedriveOptions,
  type Submission,
  type Submitted,
} from './producer.ts';
export { inlineSource, parseSubmitInput, type SubmitInput } from './source.ts';
export { buildSpec, type SpecParts } from './spec.ts';
export { type JobTimeline, jobTimeline } from './timeline.ts';
export { type JobView, jobView } from './view.ts';
